"""The wheel: what pyproject.toml cannot say, since it follows from the files that are there."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

NAME = "albert_glue"
FOLDERS = ("model", "processors", "callback", "tools")
# They start the launchers of test/ and its tests, which only a checkout has.
OF_A_CHECKOUT = ("check_gpu", "check_npu")
ROOMS_OF_A_CHECKOUT = ("tools.check", "tools.gpu")


class BuildPackages(build_py):
    """Puts run_classifier.py beside the packages, and leaves out what works in a checkout alone."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        """Return (package, module, file) of each module of a package."""
        modules = super().find_package_modules(package, package_dir)
        if package == NAME:
            modules.append((NAME, "run_classifier", "run_classifier.py"))
        if package == f"{NAME}.tools":  # tools.py stands in for the package where a path is run.
            modules = [found for found in modules if found[1] not in (*OF_A_CHECKOUT, "tools")]
        return modules


def commands() -> list[str]:
    """Return the console scripts: one for run_classifier.py, one for each command in tools/."""
    names = {file.stem for file in Path("tools").glob("*.py")}
    names -= {"__init__", "tools", *OF_A_CHECKOUT}
    scripts = ["train", *sorted(name.replace("_", "-") for name in names)]
    return [f"albert-{script} = {NAME}:main" for script in scripts]


def requirements(file: Path) -> list[str]:
    """Return what a requirements file asks for."""
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line]


def extras() -> dict[str, list[str]]:
    """Return the optional requirements by their files' names; an NPU's need an index of their own."""
    found = {}
    for file in sorted(Path().glob("requirements-*.txt")):
        name = file.stem.removeprefix("requirements-")
        if not name.startswith(("npu", "cann")):
            found[name] = requirements(file)
    return found


packages = find_packages(include=[pattern for name in FOLDERS for pattern in (name, f"{name}.*")])
setup(
    packages=[NAME, *(f"{NAME}.{name}" for name in packages if name not in ROOMS_OF_A_CHECKOUT)],
    package_dir={NAME: NAME, **{f"{NAME}.{name}": name for name in FOLDERS}},
    package_data={NAME: ["py.typed"]},
    install_requires=requirements(Path("requirements.txt")),
    extras_require=extras(),
    entry_points={"console_scripts": commands()},
    cmdclass={"build_py": BuildPackages},
)
