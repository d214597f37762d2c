"Inspect: the log of one evaluation, as the archive that it writes by default."
import os
from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.solver import generate, system_message, use_tools
from inspect_ai.tool import tool
import library


@tool
def search():
    async def search(query: str) -> str:
        """Search the library.

        Args:
            query: What to look for.
        """
        return library.search(query)
    return search


@tool
def get_document():
    async def get_document(docid: str) -> str:
        """Open a document of the library.

        Args:
            docid: The document's id, as the search shows it.
        """
        return library.get_document(docid)
    return get_document


task = Task([Sample(q["text"], id=q["id"], target=q["answer"]) for q in library.QUESTIONS],
            solver=[system_message(library.INSTRUCTIONS), use_tools(search(), get_document()), generate()])
log, = eval(task, "openai/patient", log_dir=".", log_format="eval", display="none")
os.replace(log.location.removeprefix("file://"), "inspect.eval")
