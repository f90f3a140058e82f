"""What a proof says: as a page, without secrets, and of operators that become needless."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from envman.proof.needless_operators import needless_uses
from envman.proof.report_page import page
from envman.proof.veil import Veil
from envman.proof.verdicts import NeedlessUse, Proof, ProofDifference, ProvedBundle, ProvedFile, VersionChange

HOSTILE = (
    "</pre></style></title><script>alert(1)</script><img src=x onerror='alert(2)'>\"&\u202egpj.\ud800\x1b[31m"
)


class Reader(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in {"meta", "br", "!doctype"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def difference(text: str, harmless: bool = False) -> ProofDifference:
    return ProofDifference(text, text, text, f"{text} old", f"{text} new", "", text, harmless, text)


def proof(text: str = "plain", harmless: bool = False) -> Proof:
    differing = (difference(text, harmless),)
    verdict = "harmless" if harmless else "differs"
    files = (
        ProvedFile(text, verdict, (text,), 0.1, None, (text,), differing),
        ProvedFile("equal.py", "equal", (), 0.1, 0.2, (), ()),
    )
    bundle = ProvedBundle(
        *(text,) * 7,
        "core",
        files,
        differing,
        (VersionChange(text, "1", None),),
        (NeedlessUse(text, 3, text, (text,)),),
    )
    left_out = () if harmless else (text,)
    return Proof(text, text, text, (bundle,), left_out, (text,), 1.5)


def test_a_page_holds_strangers_texts_as_texts() -> None:
    text = page(Veil({}).value(proof(HOSTILE)))
    text.encode()
    read = Reader(text)
    assert read.open == []
    assert "script" not in read.tags
    assert "img" not in read.tags
    assert not {name for name in read.attributes if name.startswith("on") or name in {"src", "href", "style"}}
    assert read.words.count("<script>alert(1)</script>") >= 15
    assert not set("\u202e\x1b") & set(text)
    assert "default-src" in text
    assert "prefers-color-scheme: dark" in text


def test_a_proof_holds_where_nothing_but_what_is_harmless_differs() -> None:
    assert proof(harmless=True).holds
    assert "As before" in page(proof(harmless=True))
    broken = proof()
    assert not broken.holds
    assert [one.where for one in broken.problems()] == ["plain: plain", "plain"]
    assert "1 more such difference" in broken.problems()[0].what
    assert "Not as before" in page(broken)
    assert broken.document()["summary"] == {
        **{"files": 2, "equal": 1, "harmless": 0, "differs": 1, "same_errors": 1},
    }


def test_a_proof_of_nothing_does_not_hold() -> None:
    empty = Proof("python", "3", "3", (), (), (), 0.1)
    assert not empty.holds
    assert "nothing is proved" in empty.problems()[0].what


@pytest.mark.parametrize(
    ("variable", "value", "secret"),
    [
        ("WAREHOUSE_TOKEN", "s3cr3t-value", "s3cr3t-value"),
        ("PIN", "4711", "4711"),
        ("AIRFLOW__CORE__FERNET_KEY", "fernetfernet", "fernetfernet"),
        ("AIRFLOW_CONN_DB", "postgres://user:p%40ssw0rd@host/db", "p@ssw0rd"),
        ("AIRFLOW_CONN_DB", "postgres://user:p%40ssw0rd@host/db", "p%40ssw0rd"),
        ("AIRFLOW_CONN_DB", '{"conn_type": "http", "extra": {"token": ["abcd1234"]}}', "abcd1234"),
        ("HTTPS_PROXY", "http://user:proxyword@proxy", "proxyword"),
    ],
)
def test_a_variables_secret_is_in_no_text_of_a_proof(variable: str, value: str, secret: str) -> None:
    veiled = Veil({variable: value, "HOME": "/root"}).value(proof(f"/root/dags ({secret})"))
    assert secret not in repr(veiled)
    assert secret not in page(veiled)
    assert f"${{{variable}}}" in repr(veiled)
    assert "/root/dags" in repr(veiled)


def test_a_short_value_is_hidden_as_a_word_alone() -> None:
    assert Veil({}, {"[core] fernet_key": "pS-3cr3t"}).text("it is pS-3cr3t") == "it is ${[core] fernet_key}"
    veil = Veil({"STAGE": "prod", "N": "1", "SOME_VERSION": "3.3.2", "POSTGRES_DB": "airflow", "ON": "True"})
    assert veil.text("prod products 1 3.3.2") == "${STAGE} products 1 3.3.2"
    assert veil.text("/opt/airflow True") == "/opt/airflow True"


USES = """
from airflow.sdk import task, DAG
from airflow.sdk import task as work
import airflow.decorators
import airflow.providers.standard.operators.python as p
from airflow.providers.standard.operators.python import PythonVirtualenvOperator as PVO, ExternalPythonOperator

PVO(task_id="a", requirements=["pandas==1.5", "x"])
p.BranchPythonVirtualenvOperator(task_id="b", requirements="req.txt")
ExternalPythonOperator(task_id="c", python="/opt/x/bin/python")

@task.virtualenv(requirements=["six"])
def one(): ...

@work.external_python
def two(): ...

@airflow.decorators.task.branch_virtualenv
def three(): ...

task.python(one)
other.virtualenv()
"""


def test_operators_with_interpreters_of_their_own_are_found_by_their_lines() -> None:
    found = [(one.line, one.name, one.asks) for one in needless_uses(USES, "x.py")]
    assert found == [
        (8, "PythonVirtualenvOperator", ("pandas==1.5", "x")),
        (9, "BranchPythonVirtualenvOperator", ("req.txt",)),
        (10, "ExternalPythonOperator", ("/opt/x/bin/python",)),
        (12, "@task.virtualenv", ("six",)),
        (15, "@task.external_python", ()),
        (18, "@task.branch_virtualenv", ()),
    ]


@pytest.mark.parametrize(
    "text", ["def (", b"\x00", "def virtualenv(): pass\nvirtualenv()", "(" * 9000, b"\xff\xfe"]
)
def test_a_file_that_is_no_python_or_has_its_own_functions_has_none(text: str | bytes) -> None:
    assert needless_uses(text, "x.py") == []
