"""A reproduction as text: the paper's figures and ours side by side, and a verdict per claim."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from qhybrid.comparison.verdict import MOST_SEEDS
from qhybrid.report.sections import Section
from qhybrid.reproduction.claims import FAILS, HOLDS, NOT_RUN, UNKNOWN

Content = Mapping[str, Any]

_FIRST = ("parameters", "loss")
"""Figures that each table begins with; then those that the paper prints or makes claims on."""

_VERDICTS = (HOLDS, FAILS, UNKNOWN, NOT_RUN)


def headline(content: Content) -> str:
    """Return one line on what was run."""
    paper, scale = content["paper"], content["scale"]
    return f"{paper['paper']}: {paper['title']}; scale {scale['name']}: {scale['summary']}"


def remarks(content: Content) -> list[str]:
    """Return what a reader must not miss."""
    done, planned = content["evaluations"]["done"], content["evaluations"]["planned"]
    found = []
    if done < planned:
        found.append(f"{done} of {planned} evaluations are done")
    features = content["scale"]["features"]
    if features != "inception":
        found.append(
            f"images are compared on features of {features}: such figures have other values than "
            "the paper's FID, KID and IS, and only their order can be compared"
        )
    return [*found, *content["notes"]]


def sections(content: Content) -> list[Section]:
    """Return the tables: figures, then claims."""
    found = [_figures(content, table) for table in content["tables"]]
    if content["claims"]:
        found.append(_claims(content))
    return found


def shown_figures(content: Content, table: Mapping[str, Any]) -> list[str]:
    """Return the figures of a table that are shown."""
    points = [point for row in table["rows"] for point in row["points"]]
    printed = [
        name
        for point in points
        for name, each in point["figures"].items()
        if each["published"] is not None
    ]
    names = {each["name"]: key for point in points for key, each in point["figures"].items()}
    claimed = [
        names.get(claim["figure"], claim["figure"])
        for claim in content["claims"]
        if claim["table"] == table["table"]
    ]
    wanted = dict.fromkeys((*_FIRST, *printed, *claimed))
    return [name for name in wanted if any(name in point["figures"] for point in points)]


def _figures(content: Content, table: Mapping[str, Any]) -> Section:
    figures = shown_figures(content, table)
    printed = {
        name: any(
            point["figures"].get(name, {}).get("published") is not None
            for row in table["rows"]
            for point in row["points"]
        )
        for name in figures
    }
    headings = ["row", "epochs", "steps", "seeds"]
    for name in figures:
        own = next(
            point["figures"][name]["name"]
            for row in table["rows"]
            for point in row["points"]
            if name in point["figures"]
        )
        headings += [f"{name}, paper", f"{own}, here"] if printed[name] else [own]
    rows = []
    for row in table["rows"]:
        for point in row["points"]:
            cells = [row["label"], str(point["epoch"]), _count(point["steps"]), str(point["seeds"])]
            for name in figures:
                each = point["figures"].get(name)
                if printed[name]:
                    cells.append(number(each and each["published"]))
                cells.append("-" if each is None else spread(each))
            rows.append(tuple(cells))
    missing = [f"{r['label']}: {r['missing']}" for r in table["rows"] if r["missing"] is not None]
    dataset = table["dataset"]
    if table["stand_in"] is not None:
        dataset = f"{table['stand_in']}, in the place of {dataset}"
    notes = (f"data set: {dataset}", *table["notes"], *missing)
    return Section(table["title"], tuple(headings), tuple(rows), 1, notes)


def _claims(content: Content) -> Section:
    headings = ("claim", "verdict", "figure", "epochs", "paper", "here", "p", "seeds needed")
    rows = tuple(
        (
            each["text"],
            each["verdict"],
            each["figure"],
            str(each["epoch"]),
            _pair(each["published"], each["at_most"]),
            _pair(each["here"], each["at_most"]),
            number(each["p"]),
            _needed(each),
        )
        for each in content["claims"]
    )
    level = content["level"]
    judged = sum(each["p"] is not None for each in content["claims"])
    missing = [each for each in content["claims"] if each["verdict"] == NOT_RUN]
    notes = (
        summary(content),
        f"{judged} comparisons by Welch's t-test over seeds; of equal models, at most "
        f"{100 * level:.2g} % would be called different, each comparison by itself",
        *_reasons(missing),
        *dict.fromkeys(
            f"of {len(each['compared'])} of {len(each['first'])} rows: {each['text']}"
            for each in content["claims"]
            if 0 < len(each["compared"]) < len(each["first"])
        ),
    )
    return Section("Claims of the paper", headings, rows, 3, notes)


def _reasons(missing: Sequence[Content]) -> list[str]:
    """Say why claims could not be judged: those with one reason in one line."""
    texts: dict[str, dict[str, None]] = defaultdict(dict)
    for each in missing:
        texts[each["why"]][each["text"]] = None
    return [f"not run, since {why}: {'; '.join(claims)}" for why, claims in texts.items()]


def _needed(claim: Content) -> str:
    """Return how many seeds of each row would tell a difference as large as the one here."""
    if claim["p"] is None:
        return "-"
    return f"{claim['seeds_needed']:,}" if claim["seeds_needed"] else f"over {MOST_SEEDS:,}"


def summary(content: Content) -> str:
    """Return how many claims have which verdict."""
    verdicts = [each["verdict"] for each in content["claims"]]
    return "; ".join(f"{verdicts.count(each)} {each}" for each in _VERDICTS if each in verdicts)


def _pair(values: Sequence[float | None], limit: float | None) -> str:
    first, second = values
    if first is None:
        return "-"
    if limit is not None:
        return f"{number(first)} (at most {number(limit)})"
    return f"{number(first)} against {number(second)}"


def spread(each: Mapping[str, Any]) -> str:
    """Return a mean over seeds with half of its 95 % interval."""
    if each["mean"] is None:
        return "-"
    if each["low"] is None or each["high"] == each["low"]:
        return number(each["mean"])
    return f"{number(each['mean'])} ± {(each['high'] - each['low']) / 2:.2g}"


def number(value: float | None) -> str:
    """Return a figure with four digits, whole numbers whole."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 100 else f"{value:.4g}"


def _count(steps: int | None) -> str:
    return "-" if steps is None else f"{steps:,}"
