"""Finding and loading plugins, with distributions that exist as files only: nothing is installed."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import clustrix_core
from clustrix_core.discovery import Plugin, check, installed, load_backend, load_extension
from clustrix_core.errors import BackendIncompatibleError, BackendLoadError, BackendNotFoundError
from fakedist import FakeSite, backend_source, extension_source

CORE = str(Path(clustrix_core.__file__).parents[1])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FakeSite]:
    with FakeSite(tmp_path / "site") as site:
        yield site


@pytest.fixture
def alone(site: FakeSite, monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    """The site, with no other distribution beside it."""
    bare = [folder for folder in sys.path if not any(importlib.metadata.distributions(path=[folder]))]
    monkeypatch.setattr(sys, "path", [str(site.path), *bare])
    return site


def run(code: str, site: FakeSite) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site.path), CORE])}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def add_pbs(site: FakeSite, source: str | None = None) -> None:
    modules = {"pbs_mod": backend_source("PBS") if source is None else source}
    site.add("clustrix-pbs", "1.2", backends={"pbs": "pbs_mod:PBS"}, modules=modules)


# --- what is installed


def test_plugins_are_listed_sorted_with_distribution_and_version(alone: FakeSite) -> None:
    alone.add("clustrix-zeta", "0.9", backends={"zeta": "z:Z"})
    alone.add("clustrix-two", "2.0", backends={"b": "two:B", "a": "two:A"}, extensions={"watch": "two:Audit"})
    assert installed("backend") == (
        Plugin("backend", "a", "clustrix-two", "2.0", "two:A"),
        Plugin("backend", "b", "clustrix-two", "2.0", "two:B"),
        Plugin("backend", "zeta", "clustrix-zeta", "0.9", "z:Z"),
    )
    assert installed("extension") == (Plugin("extension", "watch", "clustrix-two", "2.0", "two:Audit"),)
    assert installed("backend")[0].source == "clustrix-two 2.0"


def test_listing_imports_no_plugin(site: FakeSite) -> None:
    add_pbs(site, "raise SystemExit('imported')")
    assert "pbs" in [plugin.name for plugin in installed("backend")]
    assert "pbs_mod" not in sys.modules


def test_a_plugin_that_appears_later_is_found(alone: FakeSite) -> None:
    assert installed("backend") == ()
    alone.add("clustrix-pbs", "1.2", backends={"pbs": "pbs_mod:PBS"})
    assert [plugin.name for plugin in installed("backend")] == ["pbs"]


def test_one_distribution_twice_on_the_path_counts_once(alone: FakeSite, tmp_path: Path) -> None:
    alone.add("clustrix-pbs", "1.2", backends={"pbs": "pbs_mod:PBS"})
    checkout = tmp_path / "checkout"
    egg = checkout / "Clustrix.PBS.egg-info"
    egg.mkdir(parents=True)
    (egg / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: Clustrix.PBS\nVersion: 1.3\n")
    (egg / "entry_points.txt").write_text("[clustrix.backends]\npbs = pbs_mod:PBS\n")
    sys.path.append(str(checkout))
    assert installed("backend") == (Plugin("backend", "pbs", "clustrix-pbs", "1.2", "pbs_mod:PBS"),)


def test_the_leftover_of_an_interrupted_upgrade_is_no_rival(alone: FakeSite) -> None:
    info = alone.add("clustrix-pbs", "1.1", backends={"pbs": "pbs_mod:PBS"})
    info.rename(info.with_name("~lustrix_pbs-1.1.dist-info"))
    alone.add("clustrix-pbs", "1.1", backends={"pbs": "pbs_mod:PBS"})
    assert [plugin.source for plugin in installed("backend")] == ["clustrix-pbs 1.1"]


def test_a_distribution_without_metadata_disturbs_nobody(alone: FakeSite) -> None:
    alone.add("clustrix-good", "1.0", backends={"good": "good_mod:Good"})
    (alone.add("clustrix-torn", "1.0", backends={"torn": "torn_mod:Torn"}) / "METADATA").unlink()
    good, torn = installed("backend")
    assert good.source == "clustrix-good 1.0"
    assert (torn.name, torn.value) == ("torn", "torn_mod:Torn")
    assert torn.distribution
    assert torn.version


# --- loading


def test_a_backend_is_loaded_once(site: FakeSite) -> None:
    add_pbs(site)
    backend = load_backend("pbs")
    assert backend.__name__ == "PBS"
    assert backend is sys.modules["pbs_mod"].PBS
    site.path.rename(site.path.with_name("gone"))
    assert load_backend("pbs") is backend


def test_threads_that_load_at_once_get_one_class(site: FakeSite) -> None:
    add_pbs(site, "import time\ntime.sleep(0.05)\n" + backend_source("PBS"))
    classes: list[type] = []
    start = threading.Barrier(8)

    def load() -> None:
        start.wait()
        classes.append(load_backend("pbs"))

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(classes) == 8
    assert len(set(classes)) == 1


def test_a_failure_is_not_remembered(site: FakeSite) -> None:
    with pytest.raises(BackendNotFoundError):
        load_backend("pbs")
    add_pbs(site)
    assert load_backend("pbs").__name__ == "PBS"


def test_an_extension_is_loaded(site: FakeSite) -> None:
    site.add(
        "clustrix-audit",
        "3",
        extensions={"watch": "audit_mod:Audit"},
        modules={"audit_mod": extension_source("Audit")},
    )
    assert load_extension("watch").__name__ == "Audit"


def test_a_backend_is_no_extension(site: FakeSite) -> None:
    add_pbs(site)
    with pytest.raises(BackendNotFoundError, match="no extension 'pbs' is installed"):
        load_extension("pbs")


def test_loading_one_backend_imports_no_other(site: FakeSite) -> None:
    add_pbs(site)
    site.add(
        "clustrix-lsf",
        "1.0",
        backends={"lsf": "lsf_mod:LSF"},
        modules={"lsf_mod": "raise SystemExit('imported')"},
    )
    site.add(
        "clustrix-audit",
        "3",
        extensions={"watch": "audit_mod:A"},
        modules={"audit_mod": "raise SystemExit('imported')"},
    )
    code = (
        "import sys; from clustrix_core.discovery import load_backend; load_backend('pbs'); "
        "print(*sorted({'pbs_mod', 'lsf_mod', 'audit_mod', 'clustrix_local'} & set(sys.modules)))"
    )
    assert run(code, site).split() == ["pbs_mod"]


def test_importing_discovery_is_cheap(site: FakeSite) -> None:
    code = (
        "import sys; before = set(sys.modules); import clustrix_core.discovery; "
        "new = set(sys.modules) - before; "
        "print(*sorted({'pydantic', 'pluggy', 'importlib.metadata', 'difflib'} & new))"
    )
    assert run(code, site).split() == []


# --- what can be wrong


def test_a_missing_backend_of_ours_gets_its_install_line(alone: FakeSite) -> None:
    alone.add("clustrix-pbs", "1.2", backends={"pbs": "pbs_mod:PBS"})
    for name in ("local", "ssh", "slurm"):
        with pytest.raises(BackendNotFoundError) as caught:
            load_backend(name)
        assert str(caught.value) == (
            f"no backend '{name}' is installed. Install it with `pip install clustrix-{name}`. "
            "Installed backends: pbs (see `clustrix plugins`)"
        )


def test_the_missing_trace_extension_is_the_cores(alone: FakeSite) -> None:
    with pytest.raises(BackendNotFoundError) as caught:
        load_extension("trace")
    assert str(caught.value) == (
        "no extension 'trace' is installed. Install it with `pip install clustrix-core`. "
        "Installed extensions: none (see `clustrix plugins`)"
    )


def test_a_typo_gets_the_close_names_and_no_install_line(alone: FakeSite) -> None:
    alone.add("clustrix-pbs", "1.2", backends={"pbspro": "pbs_mod:PBS", "lsf": "pbs_mod:LSF"})
    with pytest.raises(BackendNotFoundError) as caught:
        load_backend("pbs-pro")
    assert str(caught.value) == (
        "no backend 'pbs-pro' is installed. Did you mean 'pbspro'? "
        "Installed backends: lsf, pbspro (see `clustrix plugins`)"
    )
    with pytest.raises(BackendNotFoundError, match=r"Did you mean 'slurm'\? ") as caught:
        load_backend("slrum")
    assert "pip install" not in str(caught.value)


def test_a_strange_name_gets_neither(alone: FakeSite) -> None:
    with pytest.raises(BackendNotFoundError) as caught:
        load_backend("qqq\x1b[31m")
    assert str(caught.value) == (
        "no backend 'qqq\\x1b[31m' is installed. Installed backends: none (see `clustrix plugins`)"
    )


@pytest.mark.parametrize(
    ("source", "described"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def f(:", "SyntaxError: "),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise SystemExit", "SystemExit; "),
        ("raise GeneratorExit('x')", "GeneratorExit: x"),
        ("raise ValueError('two\\nlines\\x1b[31m')", r"ValueError: two lines\\x1b\[31m; "),
        ("class E(Exception):\n def __str__(self): raise OSError\nraise E", "failed with E; "),
        ("PSB = 1", "AttributeError: .*'PBS'"),
    ],
)
def test_an_import_that_fails_names_everything(site: FakeSite, source: str, described: str) -> None:
    add_pbs(site, source)
    with pytest.raises(BackendLoadError, match=described) as caught:
        load_backend("pbs")
    message = str(caught.value)
    assert message.startswith(
        "the backend 'pbs' of clustrix-pbs 1.2 can't be loaded: importing pbs_mod:PBS failed with"
    )
    assert message.endswith("; upgrade, reinstall or uninstall clustrix-pbs")
    assert type(caught.value.__cause__).__name__ in message
    assert check(pbs()) == message


def test_ctrl_c_during_an_import_passes(site: FakeSite) -> None:
    add_pbs(site, "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_backend("pbs")
    with pytest.raises(KeyboardInterrupt):
        check(pbs())


@pytest.mark.parametrize(("source", "kind"), [("def PBS(config): ...", "function"), ("PBS = 'x'", "str")])
def test_a_value_that_is_no_class(site: FakeSite, source: str, kind: str) -> None:
    add_pbs(site, source)
    with pytest.raises(BackendLoadError) as caught:
        load_backend("pbs")
    assert str(caught.value) == (
        f"the backend 'pbs' of clustrix-pbs 1.2 can't be loaded: pbs_mod:PBS is no class but a {kind}; "
        "upgrade, reinstall or uninstall clustrix-pbs"
    )


def test_a_value_that_names_a_module(site: FakeSite) -> None:
    site.add("clustrix-pbs", "1.2", backends={"pbs": "pbs_mod"}, modules={"pbs_mod": backend_source("PBS")})
    with pytest.raises(BackendLoadError, match="pbs_mod is no class but a module; "):
        load_backend("pbs")


@pytest.mark.parametrize("value", ["pbs mod / PBS", "a b c", "pbs_mod:", ":PBS"])
def test_a_value_that_makes_no_sense(value: str, site: FakeSite) -> None:
    site.add("clustrix-pbs", "1.2", backends={"pbs": value})
    with pytest.raises(BackendLoadError, match=f"loaded: its entry point '{value}' is no `module:Class`; "):
        load_backend("pbs")


def test_a_class_that_defeats_the_validation(site: FakeSite) -> None:
    evil = "class Evil:\n def __repr__(self): raise OSError('no')\n"
    add_pbs(site, evil + "class PBS:\n config_model = Evil()\n")
    with pytest.raises(BackendLoadError, match="looking at pbs_mod:PBS failed with OSError: no; "):
        load_backend("pbs")


def test_two_distributions_that_claim_one_name(site: FakeSite) -> None:
    add_pbs(site)
    site.add("pbs-for-clustrix", "0.3", backends={"pbs": "other_mod:Other", "other": "other_mod:Other"})
    rivals = "clustrix-pbs 1.2 (pbs_mod:PBS) and pbs-for-clustrix 0.3 (other_mod:Other)"
    message = f"2 distributions claim the backend name 'pbs': {rivals}; uninstall all but one of them"
    with pytest.raises(BackendLoadError) as caught:
        load_backend("pbs")
    assert str(caught.value) == message
    assert check(pbs()) == message
    assert "pbs_mod" not in sys.modules


def test_a_broken_contract_names_distribution_and_version(site: FakeSite) -> None:
    add_pbs(site, backend_source("PBS").replace("api_version = 1", "api_version = 0"))
    with pytest.raises(
        BackendIncompatibleError, match=r"the backend pbs_mod\.PBS of clustrix-pbs 1\.2 "
    ) as caught:
        load_backend("pbs")
    assert len(caught.value.findings) == 1


def test_broken_plugins_disturb_only_who_selects_them(site: FakeSite) -> None:
    add_pbs(site)
    site.add("broken-import", "1", backends={"broken": "broken_mod:B"}, modules={"broken_mod": "1 / 0"})
    site.add("broken-rival-a", "1", backends={"rival": "a:B"})
    site.add("broken-rival-b", "1", backends={"rival": "b:B"})
    assert load_backend("pbs").__name__ == "PBS"
    with pytest.raises(BackendLoadError):
        load_backend("broken")
    with pytest.raises(BackendLoadError):
        load_backend("rival")
    assert [check(plugin) is None for plugin in installed("backend") if plugin.name in ("broken", "pbs")] == [
        False,
        True,
    ]


# --- check


def pbs() -> Plugin:
    return next(plugin for plugin in installed("backend") if plugin.name == "pbs")


def test_check_finds_nothing_wrong_with_good_plugins(site: FakeSite) -> None:
    add_pbs(site)
    assert check(pbs()) is None
    site.add(
        "c-audit", "3", extensions={"watch": "audit_mod:A"}, modules={"audit_mod": extension_source("A")}
    )
    assert [check(plugin) for plugin in installed("extension") if plugin.name == "watch"] == [None]


def test_check_puts_all_findings_on_one_line(site: FakeSite) -> None:
    add_pbs(site, "class PBS:\n def __init__(self, config): ...\n")
    problem = check(pbs())
    assert problem is not None
    assert problem.isprintable()
    assert "`api_version` is missing" in problem
    assert "`config_model` is missing" in problem


def test_check_keeps_what_an_import_prints_to_itself(
    site: FakeSite, capsys: pytest.CaptureFixture[str]
) -> None:
    add_pbs(site, "import sys\nprint('out')\nprint('err', file=sys.stderr)\n" + backend_source("PBS"))
    assert check(pbs()) is None
    assert capsys.readouterr() == ("", "")


NOISY = """
import os, subprocess, sys
print("stdout", file=sys.__stdout__)
print("stderr", file=sys.__stderr__)
os.write(1, b"one")
os.write(2, b"two")
subprocess.run(["sh", "-c", "echo child; echo child >&2"], check=True)
"""


@pytest.mark.parametrize("ending", [backend_source("PBS"), "1 / 0"])
def test_check_silences_the_descriptors_too(ending: str, site: FakeSite) -> None:
    add_pbs(site, NOISY + ending)
    code = (
        "import os, subprocess, sys; from clustrix_core.discovery import check, installed\n"
        "sys.stdout.write('before '); opened = os.listdir('/dev/fd')\n"
        "for plugin in installed('backend'): plugin.name == 'pbs' and check(plugin)\n"
        "assert os.listdir('/dev/fd') == opened\n"
        "sys.stdout.write('after '); sys.stdout.flush(); subprocess.run(['echo', 'child'], check=True)\n"
        "sys.stderr.write('after')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site.path), CORE])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("before after child\n", "after", 0)


@pytest.mark.parametrize("closed", ["1,", "2,", "1, 2", "0, 1", "0, 2"])
def test_check_does_without_descriptors_that_are_closed(closed: str, site: FakeSite, tmp_path: Path) -> None:
    add_pbs(site, "print('out')\n" + backend_source("PBS"))
    code = (
        "import os, sys; from clustrix_core.discovery import check, installed\n"
        f"for number in ({closed}): os.close(number)\n"
        "problems = [check(plugin) for plugin in installed('backend') if plugin.name == 'pbs']\n"
        "def is_open(number):\n"
        "    try: return bool(os.fstat(number))\n"
        "    except OSError: return False\n"
        f"assert [number for number in range(3) if not is_open(number)] == [{closed}]\n"
        "assert problems == [None], problems\n"
        "open(sys.argv[1], 'w').close(); os._exit(0)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site.path), CORE])}
    subprocess.run([sys.executable, "-c", code, tmp_path / "done"], env=environment, capture_output=True)
    assert (tmp_path / "done").exists()
