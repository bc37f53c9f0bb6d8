"""Loggers are checked before anything runs."""

import importlib.util

import pytest

from runner.ledger import Ledger
from runner.loggers import choice
from runner.options import RunOptions
from xmft.errors import RequestError


def test_names_are_taken_once_in_their_order(ledger):
    assert choice.chosen(RunOptions().log, ledger) == ("tensorboard",)
    assert choice.chosen(["mlflow, tensorboard", "mlflow,"], ledger) == ("mlflow", "tensorboard")
    assert choice.chosen(["none"], ledger) == ()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tensorbord"], "There is no logger 'tensorbord'. Did you mean 'tensorboard'"),
        (["none,mlflow"], "--log none stands alone, found none, mlflow."),
        ([","], "--log takes names of tensorboard, mlflow, wandb, or none; found nothing."),
    ],
)
def test_what_is_no_logger_is_refused(ledger, names, message):
    with pytest.raises(RequestError) as error:
        choice.chosen(names, ledger)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "missing", "said"),
    [
        ("wandb", {"wandb"}, "--log wandb needs wandb, which is not installed"),
        (
            "mlflow",
            {"sqlalchemy", "alembic"},
            "--log mlflow needs sqlalchemy and alembic, which are not installed",
        ),
    ],
)
def test_a_package_that_is_not_there_is_named(ledger, monkeypatch, name, missing, said):
    find = importlib.util.find_spec
    monkeypatch.setattr(choice, "find_spec", lambda p: None if p in missing else find(p))
    with pytest.raises(RequestError) as error:
        choice.chosen([name], ledger)
    assert str(error.value) == f"{said}: `pip install 'xmft[{name}]'`."


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [("mlflow", "MLFLOW_TRACKING_URI", "http://127.0.0.1:1"), ("wandb", "WANDB_DIR", "/tmp")],
)
def test_an_object_store_takes_no_log_that_needs_a_folder(monkeypatch, name, variable, value):
    away = Ledger("s3://a:b@bucket/results?endpoint_override=127.0.0.1:1&scheme=http")
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(RequestError, match=f"set {variable} to "):
        choice.chosen([name], away)
    monkeypatch.setenv(variable, value)
    assert choice.chosen([name], away) == (name,)
    assert choice.chosen(["tensorboard"], away) == ("tensorboard",)
