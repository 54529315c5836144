"""A table of words as text for a terminal, Markdown, LaTeX, HTML or CSV: first a name, then figures."""

import csv
import html
import io
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Table(NamedTuple):
    title: str
    header: list[str]
    rows: list[list[str]]
    note: str = ""  # shown below
    words: int = 1  # columns of words, to the left; the rest are figures, to the right


LONG = 18  # more than this takes two lines in the head of a table


def text(tables: Sequence[Table]) -> str:
    return "\n".join(_text(table) for table in tables)


def _text(table: Table) -> str:
    heads = [_in_two(word) for word in table.header]
    lines = [[first for first, _ in heads], [second for _, second in heads], *table.rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [
        "  ".join(
            word.ljust(width) if at < table.words else word.rjust(width)
            for at, (word, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    rule = "-" * max(map(len, aligned))
    top = [line for line in aligned[:2] if line]
    return "\n".join([table.title, rule, *top, rule, *aligned[2:], *table.note.splitlines(), ""])


def _in_two(word: str) -> tuple[str, str]:
    """A long heading over two lines, broken after an underscore."""
    at = word.rfind("_") + 1
    return (word[:at], word[at:]) if len(word) > LONG and at else ("", word)


def markdown(tables: Sequence[Table]) -> str:
    return "\n".join(_markdown(table) for table in tables)


def _markdown(table: Table) -> str:
    marks = ["---" if at < table.words else "--:" for at in range(len(table.header))]
    lines = [_cells([word.replace("|", "\\|") for word in line]) for line in [table.header, *table.rows]]
    note = f"\n{table.note}\n" if table.note else ""
    return f"### {table.title}\n\n" + "\n".join([lines[0], _cells(marks), *lines[1:]]) + f"\n{note}"


def _cells(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"


LATEX = {"\\": r"\textbackslash{}", "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$"}
LATEX |= {mark: "\\" + mark for mark in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


def latex(tables: Sequence[Table]) -> str:
    return "\n".join(_latex(table) for table in tables)


def _latex(table: Table) -> str:
    def line(words: Sequence[str]) -> str:
        return " & ".join("".join(LATEX.get(mark, mark) for mark in word) for word in words) + r" \\"

    body = [line(table.header), r"\midrule", *map(line, table.rows)]
    columns = "".join("l" if at < table.words else "r" for at in range(len(table.header)))
    return "\n".join(
        [
            r"\begin{table}\centering",
            r"\caption{" + line([table.title]).removesuffix(r" \\") + "}",
            rf"\begin{{tabular}}{{{columns}}}\toprule",
            *body,
            r"\bottomrule\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.6rem 0}
th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}.word{text-align:left}
th:not(.word),td:not(.word){white-space:nowrap}
div{overflow-x:auto;margin-bottom:1.5rem}p{color:#555;max-width:60rem}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}p{color:#aaa}}
"""


def page(tables: Sequence[Table]) -> str:
    """A page of HTML that needs nothing else."""
    head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>boardsae leaderboard</title>'
    view = '<meta name="viewport" content="width=device-width,initial-scale=1">'
    body = "\n".join(map(_html, tables))
    return f"{head}{view}<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"


def _html(table: Table) -> str:
    def line(words: Sequence[str], tag: str) -> str:
        kinds = [' class="word"' if at < table.words else "" for at in range(len(words))]
        cells = [f"<{tag}{kind}>{html.escape(word)}</{tag}>" for kind, word in zip(kinds, words, strict=True)]
        return f"<tr>{''.join(cells)}</tr>"

    rows = "\n".join(line(row, "td") for row in table.rows)
    note = f"<p>{html.escape(table.note)}</p>" if table.note else ""
    caption = f"<caption>{html.escape(table.title)}</caption>"
    return f"<div><table>{caption}<thead>{line(table.header, 'th')}</thead>\n<tbody>{rows}</tbody></table></div>{note}"


def comma_separated(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """CSV with empty fields where nothing is known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return out.getvalue()


FORMATS: dict[str, Callable[[Sequence[Table]], str]] = {
    "text": text,
    "md": markdown,
    "latex": latex,
    "html": page,
}
