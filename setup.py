"Packaging: everything is read from settings.ini, the one place where names, versions and requirements stand."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

settings = ConfigParser(delimiters=["="])
settings.read("settings.ini", encoding="utf-8")
settings = settings["DEFAULT"]
extras = {key.removesuffix("_requirements"): value.split() for key, value in settings.items() if key.endswith("_requirements")}
# vllm needs a GPU or a build of its own, tevatron only serves those who have its shards; neither belongs in a plain installation
extras["all"] = sorted({r for name, rs in extras.items() if name not in ("vllm", "dev") for r in rs})

setup(
    name=settings["lib_name"], version=settings["version"], description=settings["description"],
    long_description=Path("README.md").read_text(encoding="utf-8"), long_description_content_type="text/markdown",
    author=settings["author"], license="Apache-2.0", url=settings["git_url"], keywords=settings["keywords"].split(),
    classifiers=["Development Status :: 3 - Alpha", "Intended Audience :: Science/Research", "Programming Language :: Python :: 3.11"],
    packages=find_packages(include=["lrat", "lrat.*"]),
    package_data={"lrat": ["prompts/*.txt", "templates/*", "paper_results.json"]}, python_requires=f">={settings['min_python']}",
    install_requires=settings["requirements"].split(), extras_require=extras,
    entry_points={"console_scripts": settings["console_scripts"].split(), "nbdev": ["lrat=lrat._modidx:d"]},
)
