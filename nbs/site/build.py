"""Build the documentation site: the notebooks as they were run, and pages generated from parsers and docments.

    python nbs/site/build.py OUT      # writes OUT/html; every warning of Sphinx is an error
"""
import dataclasses, functools, importlib, inspect, json, re, shutil, subprocess, sys
from pathlib import Path

from fastcore.docments import docments
from lrat.core.cli import COMMANDS, command_parser

NBS = Path(__file__).resolve().parents[1]
ROOT, HERE = NBS.parent, Path(__file__).resolve().parent
PACKAGES = ("core data llm trajectories retrieval agents judging mining evaluation training importers serving viewer pipeline testing paper bench").split()
IMPORTS = re.compile(r"(from|import) |\s|\)|$")


def text_of(cell): return "".join(cell["source"])


def notebooks(folder="."): return sorted(p for p in (NBS/folder).rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


def chapters(): return sorted((p for p in notebooks() if re.match(r"\d\d_", p.name) and int(p.name[:2]) < 50), key=lambda p: p.name)


def shown(path):
    "A notebook without nbdev's directives and hidden cells; imports are folded"
    notebook, module = json.loads(path.read_text(encoding="utf-8")), None
    cells = []
    for cell in notebook["cells"]:
        text = text_of(cell)
        if found := re.search(r"#\|\s*default_exp ([\w.]+)", text): module = found[1]
        if cell["cell_type"] == "code":
            if re.search(r"^#\|\s*(hide|default_exp)", text, re.M): continue
            text = "\n".join(line for line in text.splitlines() if not line.startswith("#|")).strip("\n")
            if not text: continue
            if all(IMPORTS.match(line) for line in text.splitlines()): cell["metadata"]["tags"] = ["hide-input"]
        cells.append(cell | {"source": relinked(text, path) if cell["cell_type"] == "markdown" else text})
    notebook["metadata"]["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    if module: cells[0]["source"] += f"\n\n{module_line(module, path)}"
    return notebook | {"cells": cells}


def module_line(module, path):
    up = "../" * (len(path.relative_to(NBS).parts) - 1)
    package = module.split(".")[0] if "." in module else "api"
    return f"Module `lrat.{module}`, [reference]({up}reference/{package}.md#{anchor('lrat.' + module)})"


def anchor(heading): return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def relinked(text, path):
    "Links that leave `nbs/` lead to the copies within the site"
    def fixed(match):
        target = (path.parent/match[1]).resolve()
        if target.is_relative_to(ROOT/"figures"): return f"]({'../' * (len(path.relative_to(NBS).parts) - 1)}{target.relative_to(ROOT)})"
        if target == ROOT/"data"/"README.md": return f"]({'../' * (len(path.relative_to(NBS).parts) - 1)}data_files.md)"
        return f"]({match[1]})"
    return re.sub(r"\]\((\.\./[^)#\s]+)\)", fixed, text)


def entry(page):
    "A line of a contents list; what has a number shows it"
    page = Path(page)
    target = str(page.with_suffix("")) if page.suffix in (".ipynb", ".md") else str(page)
    if page.suffix != ".ipynb" or not re.match(r"\d\d_", page.name): return target
    title = text_of(json.loads((NBS/page).read_text(encoding="utf-8"))["cells"][0]).splitlines()[0].removeprefix("# ")
    return f"{page.name[:2]} {title} <{target}>"


def toctree(caption, pages):
    "A contents list: in the sidebar under a caption, or within the page without one"
    body = "\n".join(entry(page) for page in pages)
    options = [f":caption: {caption}", ":hidden:"] if caption else []
    return "\n".join(["```{toctree}", *options, ":maxdepth: 1", "", body, "```", ""])


def relative(paths): return [p.relative_to(NBS) for p in paths]


def write_notebooks(out):
    for path in notebooks():
        if path == NBS/"index.ipynb": continue
        target = out/path.relative_to(NBS)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(shown(path)), encoding="utf-8")


def write_index(out):
    "README's page, and the contents of the site"
    notebook = shown(NBS/"index.ipynb")
    numbered = set(chapters())
    lookup = [p for name in PACKAGES for p in notebooks(name) if p not in numbered]
    trees = "\n".join([
        toctree("Chapters", relative(chapters())),
        toctree("How to", relative(notebooks("howto"))),
        toctree("Experiments", relative(notebooks("experiments"))),
        toctree("Beyond the paper", relative(notebooks("ablations"))),
        toctree("Results and limits", ["results.md", "deploy.md", *relative(notebooks("benchmarks")), "data_files.md"]),
        toctree("Look it up", ["glossary", "api", "commands/overview", "reference/overview", "modules"])])
    notebook["cells"].append({"cell_type": "markdown", "id": "contents", "metadata": {}, "source": trees})
    (out/"index.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    groups = "\n".join(f"\n## {name}\n\n" + toctree("", relative(p for p in lookup if p.parent.name == name))
                       for name in PACKAGES if any(p.parent.name == name for p in lookup))
    (out/"modules.md").write_text(f"# All other notebooks\n\nWhat has no number is looked up when it is needed, package by package.\n{groups}", encoding="utf-8")


def cell(text): return str(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def write_commands(out):
    folder = out/"commands"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["# Commands", "", "One program, `lrat`, with a command for each stage, in the order of the method.", "", "| command | what it does |", "| --- | --- |"]
    for command in COMMANDS:
        lines.append(f"| [lrat {command.name}]({command.name}.md) | {cell(command.help)} |")
        module, _, name = command.target.partition(":")
        parser = command_parser(getattr(importlib.import_module(module), name), f"lrat {command.name}", command.example)
        (folder/f"{command.name}.md").write_text(command_page(command, parser), encoding="utf-8")
    lines += ["", toctree("", [c.name for c in COMMANDS])]
    (folder/"overview.md").write_text("\n".join(lines), encoding="utf-8")


def command_page(command, parser):
    rows = []
    for action in parser._actions:
        if action.help == "==SUPPRESS==" or "--help" in action.option_strings: continue
        name = f"`{action.option_strings[-1]}`" if action.option_strings else f"`{action.dest}`"
        default = "" if action.default in (None, False, "==SUPPRESS==", "") else f"`{action.default}`"
        needed = " **required**" if action.required and action.option_strings else ""
        rows.append(f"| {name} | {cell((action.help or '').rpartition(' (default:')[0] or action.help or '')}{needed} | {cell(default)} |")
    return "\n".join([f"# lrat {command.name}", "", f"{(parser.description or command.help).rstrip('.')}.", "", "```sh", command.example, "```", "",
                      "| argument | meaning | default |", "| --- | --- | --- |", *rows, ""])


def write_reference(out):
    folder = out/"reference"
    folder.mkdir(parents=True, exist_ok=True)
    modules = sorted(library())
    groups = {"api": [m for m in modules if "." not in m]} | {name: [m for m in modules if m.startswith(f"{name}.")] for name in PACKAGES}
    groups = {name: found for name, found in groups.items() if found}
    for name, found in groups.items():
        title = "lrat" if name == "api" else f"lrat.{name}"
        (folder/f"{name}.md").write_text("\n".join([f"# {title}", "", *(line for module in found for line in module_lines(module))]), encoding="utf-8")
    lines = ["# Reference", "", "Every public name, package by package, from its signature and comments.", "",
             toctree("", groups)]
    (folder/"overview.md").write_text("\n".join(lines), encoding="utf-8")


@functools.cache
def library():
    "The notebook of each module"
    texts = ((path, re.search(r"#\|\s*default_exp ([\w.]+)", path.read_text(encoding="utf-8"))) for path in notebooks())
    return {found[1]: path for path, found in texts if found}


def module_lines(module):
    source = importlib.import_module(f"lrat.{module}")
    path = library()[module].relative_to(NBS)
    yield from (f"## lrat.{module}", "", (source.__doc__ or "").strip(), "", f"Explained in [{path.stem}](../{path}).", "")
    for name in source.__all__:
        value = getattr(source, name)
        if inspect.isclass(value) or inspect.isfunction(value): yield from object_lines(name, value)


def object_lines(name, value):
    yield from (f"### {name}", "", "```python", signature(name, value), "```", "", (inspect.getdoc(value) or "").split("\n\n")[0], "")
    yield from parameter_table(value)
    for method, function in inspect.getmembers(value, inspect.isfunction) if inspect.isclass(value) else ():
        if method.startswith("_") or not function.__qualname__.startswith(f"{value.__name__}."): continue
        about = (inspect.getdoc(function) or "no description").splitlines()[0]
        yield from (f"`{signature(method, function)}`", f": {about}", "")


def signature(name, value):
    try: found = inspect.signature(value)
    except (TypeError, ValueError): return name
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    text = f"{name}{found.replace(parameters=parameters, return_annotation=inspect.Signature.empty)}"
    return re.sub(r"<([\w.]+) object at 0x[0-9a-f]+>|<(?:function|class) '?([\w.<>]+)'?(?: at 0x[0-9a-f]+)?>", lambda m: m[1] or m[2], text)


def parameter_table(value):
    try: found = docments(value, full=True)
    except Exception: return
    rows = [(n, about) for n, about in found.items() if n != "self" and (about.docment or n != "return")]
    if dataclasses.is_dataclass(value): rows = [(n, about) for n, about in rows if n != "return"]
    if not rows: return
    yield from ("| name | type | meaning |", "| --- | --- | --- |")
    for n, about in rows:
        yield f"| {'returns' if n == 'return' else f'`{n}`'} | {cell(type_name(about.anno))} | {cell(' '.join((about.docment or '').split()))} |"
    yield ""


def type_name(annotation):
    if annotation is inspect.Parameter.empty: return ""
    if hasattr(annotation, "help"): annotation = annotation.type  # fastcore's Param
    return "" if annotation is None else f"`{getattr(annotation, '__name__', None) if isinstance(annotation, type) and not hasattr(annotation, '__args__') else str(annotation).replace('typing.', '')}`"


def write_deploy(out):
    "The page on what to deploy, with the answer that its notebook last gave"
    cells = json.loads((NBS/"ablations"/"76_deployment.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells if text_of(cell) == "deployment_page(profile)" for output in cell["outputs"]]
    given = ["".join(text) for output in outputs if (text := output.get("data", {}).get("text/markdown"))]
    answer = given[0] if given else "*Not measured yet: `lrat run deployment --profile mini` and `make outputs` fill in the table.*"
    (out/"deploy.md").write_text((HERE/"deploy.md").read_text(encoding="utf-8").replace("{{ answer }}", answer), encoding="utf-8")


def write_sources(out):
    shutil.rmtree(out, ignore_errors=True)
    write_notebooks(out)
    write_index(out)
    write_commands(out)
    write_reference(out)
    shutil.copytree(ROOT/"figures", out/"figures", ignore=shutil.ignore_patterns("*.json", "README.md"))
    shutil.copy(ROOT/"data"/"README.md", out/"data_files.md")
    shutil.copy(HERE/"results.md", out/"results.md")
    write_deploy(out)
    shutil.copy(HERE/"conf.py", out/"conf.py")
    (out/"_static").mkdir()
    shutil.copy(HERE/"site.css", out/"_static"/"site.css")


def main():
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT/"_site").resolve()
    write_sources(out/"source")
    done = subprocess.run([sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", out/"source", out/"html"])
    if done.returncode: raise SystemExit(done.returncode)
    print(f"open {out/'html'/'index.html'}")


if __name__ == "__main__": main()
