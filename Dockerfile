# qhybrid on the CPU; what it writes belongs to whom the folder belongs:
# docker build --tag qhybrid . && docker run --rm --user "$(id -u):$(id -g)" -v "$PWD:/work" qhybrid train
FROM python:3.12-slim AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
# PyTorch's own index has wheels without the 4 GB of GPU libraries.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu "torch>=2.9" "torchvision>=0.24" \
    && pip install --no-cache-dir /wheels/*.whl
# Whoever runs it has a home, where compiled kernels are kept.
RUN useradd --create-home --uid 1000 qhybrid && chmod 1777 /home/qhybrid
ENV HOME=/home/qhybrid
USER 1000
WORKDIR /work
ENTRYPOINT ["qhybrid"]
CMD ["--help"]
