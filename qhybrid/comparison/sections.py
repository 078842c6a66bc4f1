"""A comparison as tables of text, the same for terminals, Markdown and the page."""

from collections.abc import Mapping, Sequence
from typing import Any

from qhybrid.comparison.verdict import MOST_SEEDS
from qhybrid.report.sections import Section, probability
from qhybrid.words import counted


def headline(content: Mapping[str, Any]) -> str:
    """Return one line on what is compared."""
    models = [
        f"{each['name']} ({counted(len(each['runs']), 'seed')})" for each in content["models"]
    ]
    return " against ".join(models)


def sections(content: Mapping[str, Any]) -> list[Section]:
    """Return the tables of a comparison, those that have rows."""
    found = [
        _verdicts(content),
        _figures(content),
        _models(content["models"]),
        _costs(content["models"]),
        _settings(content),
    ]
    return [section for section in found if section.rows]


def spread_text(values: Mapping[str, Any] | None, digits: int = 4) -> str:
    """Return a mean over seeds with its interval."""
    if values is None:
        return "-"
    mean = f"{values['mean']:.{digits}g}"
    if values["low"] is None:
        return f"{mean} (one seed)"
    return f"{mean} ({values['low']:.{digits}g} to {values['high']:.{digits}g})"


def _verdicts(content: Mapping[str, Any]) -> Section:
    verdicts, level = content["verdicts"], content["level"]
    rows = tuple(
        (
            each["figure"],
            each["first"],
            each["outcome"],
            each["second"],
            "{} and {}".format(*each["seeds"]),
            f"{each['difference']:.3g}",
            "-" if each["low"] is None else f"{each['low']:.3g} to {each['high']:.3g}",
            "-" if each["p"] is None else f"{each['p']:.2g}",
            _needed(each),
        )
        for each in verdicts
    )
    notes = [
        f"Each verdict calls equal models different in {100 * level:.3g} % of cases or less: of "
        f"{counted(len(verdicts), 'verdict')}, {len(verdicts) * level:.2g} or fewer should be "
        "such errors."
    ]
    if any(each["outcome"] == "cannot be told" and each["p"] is not None for each in verdicts):
        notes.append(
            "Seeds to tell: of each model, so that a difference truly as large as this one is told "
            "in 80 % of cases."
        )
    unknown = [each for each in verdicts if each["p"] is None]
    notes += dict.fromkeys(each["sentence"].partition(": ")[2] for each in unknown)
    within = f"{100 * (1 - level):.3g} % interval"
    headings = ("figure", "model", "verdict", "against", "seeds", "difference", within, "p")
    texts = tuple(map(_sentence, notes))
    return Section("Verdicts", (*headings, "seeds to tell"), rows, 4, texts)


def _needed(verdict: Mapping[str, Any]) -> str:
    if verdict["outcome"] != "cannot be told" or verdict["p"] is None:
        return "-"
    needed = verdict["seeds_needed"]
    return f"over {MOST_SEEDS:,}" if needed is None else f"{needed:,}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def _figures(content: Mapping[str, Any]) -> Section:
    names = [each["name"] for each in content["models"]]
    rows = tuple(
        (
            each["name"],
            f"{each['better']} is better" if each["better"] else "no measure of quality",
            *(spread_text(each["models"][name]) for name in names),
        )
        for each in content["figures"]
    )
    measured = dict.fromkeys(each["measured"] for each in content["figures"])
    notes = ("Mean over seeds, and its 95 % interval.", f"Measured on: {'; '.join(measured)}.")
    return Section("Figures", ("figure", "", *names), rows, 2, notes)


def _models(models: Sequence[Mapping[str, Any]]) -> Section:
    rows = tuple(
        (
            each["name"],
            ", ".join(str(run["seed"]) for run in each["runs"]),
            f"{each['parameters']:,}",
            f"{each['circuit_weights']:,}",
            f"{each['dead_weights']:,}",
            spread_text(each["circuit_influence"], 2),
            spread_text(each["seconds_per_step"], 2),
        )
        for each in models
    )
    headings = (
        "model",
        "seed numbers",
        "parameters",
        "circuit weights",
        "of them dead",
        "circuits' influence",
        "seconds per step",
    )
    notes = (
        "Circuits' influence: by how much the trained model's output changes when they say their "
        "mean, in its standard deviations. Seconds depend on what else the machine did.",
    )
    return Section("Models", headings, rows, 2, notes)


def _costs(models: Sequence[Mapping[str, Any]]) -> Section:
    rows = tuple(
        (
            each["name"],
            cost["target"],
            f"{cost['steps']:,}",
            f"{cost['shots']:,}",
            f"{cost['qpu_seconds_per_image']:,.1f}",
            probability(cost["success_probability"]),
        )
        for each in models
        for cost in each["costs"]
    )
    headings = ("model", "target", "steps", "shots", "QPU seconds per image", "least ESP")
    return Section("On QPUs", headings, rows, 2)


def _settings(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (key, *("-" if value is None else str(value) for value in values))
        for key, values in content["settings"].items()
    )
    names = tuple(each["name"] for each in content["models"])
    return Section("Settings that differ", ("setting", *names), rows, 1 + len(names))
