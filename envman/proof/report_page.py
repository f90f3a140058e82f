"""A proof as one HTML file: no script, nothing from elsewhere, light and dark. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from envman.proof.verdicts import (
    DIFFERS,
    EQUAL,
    HARMLESS,
    Proof,
    ProofDifference,
    ProvedBundle,
    ProvedFile,
    place,
)

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --dim: #60656c; --paper: #fff; --line: #d9dce0;
  --box: #f5f6f8; --equal: #18794e; --harmless: #8a6100; --differs: #c4320a; }
@media (prefers-color-scheme: dark) { :root { --ink: #edeef0; --dim: #a3a8b0; --paper: #16181b;
  --line: #34383d; --box: #202327; --equal: #4cc38a; --harmless: #f1c04a; --differs: #ff8f6b; } }
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
p.of { color: var(--dim); margin-top: -.5rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0;
  border-bottom: 1px solid var(--line); }
th { color: var(--dim); font-weight: 600; } td.n, th.n { text-align: right; white-space: nowrap; }
.equal, .harmless, .differs { font-weight: 600; white-space: nowrap; }
.equal { color: var(--equal); } .harmless { color: var(--harmless); } .differs { color: var(--differs); }
pre { margin: 0; padding: .4rem .6rem; background: var(--box); border-radius: 4px; white-space: pre-wrap;
  font: 13px/1.4 ui-monospace, monospace; max-height: 20rem; overflow: auto; }
details { margin: .4rem 0; padding: .3rem .7rem; border: 1px solid var(--line); border-radius: 6px; }
p .harmless, p .differs { white-space: normal; }
summary { cursor: pointer; } bdi { unicode-bidi: isolate; }
"""
_WORDS = {
    EQUAL: "the same in both",
    HARMLESS: "differ harmlessly",
    DIFFERS: "differ",
}
_NOTHING_FROM_ELSEWHERE = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(proof: Proof) -> str:
    """The whole file."""
    title = "As before" if proof.holds else "Not as before"
    counts = [
        _row([_count(proof.count(name)), f'<span class="{name}">{words}</span>'])
        for name, words in _WORDS.items()
    ]
    body = [
        f"<h1>{title}: {proof.files()} files in the new environments</h1>",
        f'<p class="of">Compared with {_code(proof.interpreter)}: Airflow {_text(proof.airflow)}, '
        f"Python {_text(proof.python)}</p>",
        _table(("files", ""), counts, numbers=1),
        *_listed("Files with Dags that no bundle has", proof.left_out, DIFFERS),
        *_listed(
            "Bundles that were not looked at, as they are no folder of this host", proof.skipped, HARMLESS
        ),
        *(_bundle(one) for one in proof.bundles),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_NOTHING_FROM_ELSEWHERE)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _bundle(bundle: ProvedBundle) -> str:
    where = (
        f"{_code(bundle.folder)} in {_text(bundle.environment)} {_text(bundle.generation)}: "
        f"Airflow {_text(bundle.airflow)}, Python {_text(bundle.python)}"
    )
    lines = [f"<h2>{_text(bundle.bundle)}</h2>", f'<p class="of">{where}</p>']
    if bundle.compared != "all":
        lines.append(
            "<p>The two Airflows serialize Dags differently: Dags, tags, tasks, their classes and order "
            "are compared, and import errors; nothing else.</p>"
        )
    lines += [_plugin(one) for one in bundle.plugins]
    lines += [
        _file(one) for one in sorted(bundle.files, key=_rank) if one.verdict != EQUAL or one.same_errors
    ]
    files = [
        [
            _code(one.file),
            _text(", ".join(one.dags) or "-"),
            _seconds(one.old_seconds),
            _seconds(one.new_seconds),
            _state(one),
        ]
        for one in bundle.files
    ]
    lines += [
        f"<details{'' if len(files) > 20 else ' open'}><summary>All {len(files)} files</summary>",
        _table(("file", "Dags", "seconds before", "now", ""), map(_row_with_numbers, files), numbers=0),
        "</details>",
    ]
    if bundle.needless:
        uses = [
            _row([f"{_code(one.file)}, line {one.line}", _code(one.name), _text(", ".join(one.asks))])
            for one in bundle.needless
        ]
        lines += [
            "<h3>Needless with an environment of its own</h3>",
            _table(("where", "what", "asks for"), uses),
        ]
    if bundle.packages:
        rows = [
            _row([_text(one.package), _text(one.old or "-"), _text(one.new or "-")])
            for one in bundle.packages
        ]
        lines += [
            f"<details><summary>{len(rows)} packages differ</summary>",
            _table(("package", "before", "now"), rows),
            "</details>",
        ]
    return "\n".join(lines)


def _file(file: ProvedFile) -> str:
    lines = [
        f"<details{' open' if file.verdict == DIFFERS else ''}>",
        f"<summary>{_state(file)} {_code(file.file)}</summary>",
    ]
    lines += [_difference(one) for one in file.differences]
    lines += [f"<p>{file.more} more differences are not listed.</p>"] if file.more else []
    lines += [f"<h3>import error, the same in both</h3><pre>{_text(one)}</pre>" for one in file.same_errors]
    return "\n".join([*lines, "</details>"])


def _plugin(one: ProofDifference) -> str:
    state = HARMLESS if one.harmless else DIFFERS
    summary = f'<summary><span class="{state}">plugin</span> {_code(one.path)}</summary>'
    return f"<details open>{summary}{_difference(one)}</details>"


def _difference(one: ProofDifference) -> str:
    state = HARMLESS if one.harmless else DIFFERS
    why = _text(one.why) or "not explained"
    remedy = f"<br>{_text(one.remedy)}" if one.remedy else ""
    sides = _row([f"<pre>{_text(one.old)}</pre>", f"<pre>{_text(one.new)}</pre>"])
    said = f'<p><span class="{state}">{why}</span>{remedy}</p>'
    return f"<h3>{_text(place(one))}</h3>{said}{_table(('before', 'now'), [sides])}"


def _state(file: ProvedFile) -> str:
    words = f"{file.verdict}, an import error" if file.same_errors else file.verdict
    return f'<span class="{file.verdict}">{words}</span>'


def _rank(file: ProvedFile) -> tuple[int, str]:
    return (DIFFERS, HARMLESS, EQUAL).index(file.verdict), file.file


def _listed(title: str, texts: Sequence[str], state: str) -> list[str]:
    if not texts:
        return []
    items = "".join(f"<li>{_code(one)}</li>" for one in texts)
    return [f'<h2 class="{state}">{title}</h2><ul>{items}</ul>']


def _table(columns: Sequence[str], rows: Iterable[str], numbers: int = 0) -> str:
    heads = [
        f'<th class="n">{one}</th>' if number < numbers else f"<th>{one}</th>"
        for number, one in enumerate(columns)
    ]
    return f"<table><tr>{''.join(heads)}</tr>{''.join(rows)}</table>"


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(one if one.startswith('<td') else f'<td>{one}</td>' for one in cells)}</tr>"


def _row_with_numbers(cells: Sequence[str]) -> str:
    return _row(f'<td class="n">{one}</td>' if number in {2, 3} else one for number, one in enumerate(cells))


def _count(number: int) -> str:
    return f'<td class="n">{number}</td>'


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.2f}"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str) -> str:
    """A stranger's text: escaped, and its direction its own."""
    return f"<bdi>{escape(text)}</bdi>"
