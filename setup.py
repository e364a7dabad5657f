"""Which files the wheel has; all else that is to be said of it is in setup.cfg."""

import pathlib
import shutil

import setuptools
from setuptools.command.build_py import build_py


class BuildPy(build_py):
    """Leaves out the builders' tests, and what an earlier build left behind."""

    def run(self):
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:  # for who has the wheel alone
            documents = [*pathlib.Path("docs").glob("*.md"), *pathlib.Path("docs").glob("*.png")]
            for path in ("README.md", *sorted(map(str, documents))):
                place = pathlib.Path(self.build_lib, "micle_tf", path)
                self.mkpath(str(place.parent))
                self.copy_file(path, str(place))

    def find_package_modules(self, package, package_dir):
        found = super().find_package_modules(package, package_dir)
        return [module for module in found if not module[1].endswith("_test")]


setuptools.setup(
    # The recipes stand at the top of the checkout, and in the wheel beside what reads them.
    packages=[*setuptools.find_packages(include=["micle_tf*", "data_builders*"]), "micle_tf.flags"],
    package_dir={"micle_tf.flags": "flags"},
    cmdclass={"build_py": BuildPy},
)
