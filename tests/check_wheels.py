"""All distributions, from their wheels, in an environment of their own, outside the checkout.

Run it with `make wheels`. It builds the wheels, installs them step by step as a user would, and uses them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

DISTRIBUTIONS = ("core", "local", "ssh", "slurm")
EXAMPLES = ("gridengine", "kubernetes", "pbs")

USE = """
import clustrix, clustrix_core, sys
assert "site-packages" in clustrix.__file__ and "site-packages" in clustrix_core.__file__, clustrix.__file__
from clustrix import ClusterConfig, cluster_find, cluster_stat
config = ClusterConfig()
open("a.csv", "w").write("x")
assert cluster_find("*.csv", ".", config) == ["a.csv"]
assert cluster_stat("a.csv", config).size == 1
"""

USE_SSH = """
from clustrix import ClusterConfig, ConnectionFailedError, cluster_ls
try:
    cluster_ls(".", ClusterConfig(cluster_type="ssh", cluster_host="127.0.0.1", cluster_port=1))
except ConnectionFailedError as error:
    assert "127.0.0.1" in str(error), error
else:
    raise SystemExit("no error without a server")
"""

USE_SLURM = """
from clustrix import ClusterConfig, ConnectionFailedError, cluster_ls
import clustrix_slurm
try:
    cluster_ls(".", ClusterConfig(cluster_type="slurm", cluster_host="127.0.0.1", cluster_port=1))
except ConnectionFailedError as error:
    assert "127.0.0.1" in str(error), error
else:
    raise SystemExit("no error without a server")
"""

USE_EXAMPLE = """
import sys
from clustrix import ClusterConfig, ConnectionFailedError, cluster_ls
name = sys.argv[1]
fields = {"cluster_host": "127.0.0.1", "cluster_port": 1}
if name == "kubernetes":
    fields = {"kubectl": "no-kubectl", "pod": "a"}
try:
    cluster_ls(".", ClusterConfig(cluster_type=name, **fields))
except ConnectionFailedError as error:
    assert "no-kubectl" in str(error) or "127.0.0.1" in str(error), error
else:
    raise SystemExit("no error without a place")
"""

WITHOUT_BACKEND = """
from clustrix import BackendNotFoundError, cluster_ls
try:
    cluster_ls()
except BackendNotFoundError as error:
    assert "pip install clustrix-local" in str(error), error
else:
    raise SystemExit("no error without a backend")
"""

WITHOUT_COMMAND = """
import subprocess, sys
done = subprocess.run([sys.executable, "-m", "clustrix", "trust", "host"], capture_output=True, text=True)
assert done.returncode == 2 and "pip install clustrix-ssh" in done.stderr, done
"""

CONFORMANCE = """
import pytest
from clustrix_core.testing import BackendSuite, local_place

@pytest.fixture(scope="module")
def place():
    with local_place() as place:
        yield place

class TestLocal(BackendSuite):
    pass
"""


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="clustrix-wheels-") as name:
        folder = Path(name)
        wheels = build(folder / "wheels")
        check_contents(wheels)
        environment = folder / "environment"
        venv.create(environment, with_pip=True)
        python = environment / "bin" / "python"
        elsewhere = folder / "elsewhere"
        elsewhere.mkdir()

        core, local, ssh, slurm = (next(wheels.glob(f"clustrix_{name}-*.whl")) for name in DISTRIBUTIONS)
        install(python, core)
        run(elsewhere, python, "-c", WITHOUT_BACKEND)
        run(elsewhere, python, "-c", WITHOUT_COMMAND)
        install(python, local)
        run(elsewhere, python, "-c", USE)
        run(elsewhere, environment / "bin" / "clustrix", "find", "*.csv")
        run(elsewhere, python, "-m", "clustrix", "--version")
        install(python, ssh)
        run(elsewhere, python, "-c", USE_SSH)
        run(elsewhere, environment / "bin" / "clustrix", "trust", "--help")
        install(python, slurm)
        run(elsewhere, python, "-c", USE_SLURM)
        run(elsewhere, environment / "bin" / "clustrix", "cluster", "--help")
        check_examples(elsewhere, environment, wheels)
        install(python, f"{core}[testing]")
        (elsewhere / "test_conformance.py").write_text(CONFORMANCE)
        run(elsewhere, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_conformance.py")
        live = ["--pyargs", "clustrix_core.testing.conformance", "-k", "order"]
        run(elsewhere, python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *live)
        check_new_backend(elsewhere, environment, folder / "wheels")
    print("the wheels work")


def build(target: Path) -> Path:
    plugins = [CHECKOUT / "plugins" / name for name in DISTRIBUTIONS[1:]]
    examples = [CHECKOUT / "examples" / f"clustrix-{name}" for name in EXAMPLES]
    for project in (CHECKOUT, *plugins, *examples):
        pip = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--no-deps",
            "--wheel-dir",
            str(target),
            str(project),
        ]
        subprocess.run(pip, check=True)
    return target


def check_examples(folder: Path, environment: Path, wheels: Path) -> None:
    """Third parties' backends are found by their names, and get as far as they can without their places."""
    for name in EXAMPLES:
        install(environment / "bin" / "python", next(wheels.glob(f"clustrix_{name}-*.whl")))
        run(folder, environment / "bin" / "python", "-c", USE_EXAMPLE, name)


def check_new_backend(folder: Path, environment: Path, wheels: Path) -> None:
    """What `clustrix new-backend` writes can be built and installed, and passes its tests as it is."""
    python, clustrix = environment / "bin" / "python", environment / "bin" / "clustrix"
    run(folder, clustrix, "new-backend", "acme")
    pip = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    run(folder, python, *pip, wheels, folder / "clustrix-acme")
    install(python, next(wheels.glob("clustrix_acme-*.whl")))
    run(folder / "clustrix-acme", python, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    run(folder, clustrix, "ls", "--type", "acme", "--workdir", folder)


def check_contents(wheels: Path) -> None:
    core, local, ssh, slurm = (next(wheels.glob(f"clustrix_{name}-*.whl")) for name in DISTRIBUTIONS)
    packages = [(core, "clustrix"), (core, "clustrix_core"), (local, "clustrix_local"), (ssh, "clustrix_ssh")]
    packages.append((slurm, "clustrix_slurm"))
    packages += [(next(wheels.glob(f"clustrix_{name}-*.whl")), f"clustrix_{name}") for name in EXAMPLES]
    for wheel, package in packages:
        names = zipfile.ZipFile(wheel).namelist()
        assert f"{package}/py.typed" in names, f"{wheel.name} lacks {package}/py.typed"
        assert any(name.endswith("/licenses/LICENSE") for name in names), f"{wheel.name} lacks its license"
        assert not [name for name in names if name.startswith(("tests/", "docs/"))], names


def install(python: Path, requirement: str | Path) -> None:
    """Ours by their paths: by its name, an index might offer somebody else's of a higher version."""
    run(python.parent, python, "-m", "pip", "install", "--quiet", requirement)


def run(folder: Path, *command: str | Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLUSTRIX", "PYTHON"))}
    clean["XDG_CONFIG_HOME"] = str(folder)
    result = subprocess.run([str(part) for part in command], cwd=folder, env=clean)
    if result.returncode:
        raise SystemExit(f"failed with {result.returncode}: {' '.join(map(str, command))[:200]}")


if __name__ == "__main__":
    main()
