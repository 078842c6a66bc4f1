"""What data sets hold, models are trained on and runs draw; imports nothing heavy.

Rows of data sets and of processes name their kind, and whatever differs between kinds is in a
kind's row: nothing elsewhere asks which kind it has.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One sort of data.

    Attributes:
        name: What messages call them.
        label: The same, in a word.
        model: The model that is trained on them where a request names none.
        settings: Keys of the section `data` that are for them alone.
        loader: Function (dataset, *, limit, split, **settings) -> data to train on,
            "module:function".
        pictures: The hook (run, session, stop) that draws at the end of each epoch, "module:Class".
        results: Makes files of what is drawn, a `qhybrid.sampling.results.Results`.
        evaluation: Function (Subject, DataSection, EvaluationRequest, out, console) that prints
            a comparison of drawn ones with the data's, "module:function".
        evaluated: Whether they can be evaluated while a model is trained.
    """

    name: str
    label: str
    model: str
    settings: tuple[str, ...]
    loader: str
    pictures: str
    results: str
    evaluation: str
    evaluated: bool = True


IMAGES = Kind(
    "images",
    label="images",
    model="1hqconv-qvunet",
    settings=("classes", "image_size"),
    loader="qhybrid.data.load:load_dataset",
    pictures="qhybrid.training.samples:SampleGrids",
    results="qhybrid.sampling.results:ImageResults",
    evaluation="qhybrid.evaluation.session:run_evaluation",
)

STATES = Kind(
    "quantum states",
    label="states",
    model="qreverse",
    settings=("qubits", "spread"),
    loader="qhybrid.data.states:load_states",
    pictures="qhybrid.training.fidelity:FidelityCurves",
    results="qhybrid.sampling.state_results:StateResults",
    evaluation="qhybrid.evaluation.states:run_evaluation",
    evaluated=False,
)
"""Quantum states: density matrices of a few qubits."""
