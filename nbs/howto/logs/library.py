"The two tools of the scripts in this folder; `make.py` serves what they ask for."
import json, os, urllib.request

QUESTIONS = json.loads(os.environ["QUESTIONS"])
INSTRUCTIONS = "Answer the question with the help of the library. Search, then open the documents that look useful."


def ask(**body):
    request = urllib.request.Request(os.environ["LIBRARY_URL"], json.dumps(body).encode())
    with urllib.request.urlopen(request) as answer: return json.load(answer)


def search(query: str) -> str:
    """Search the library.

    Args:
        query: What to look for.
    """
    return ask(query=query)["text"]


def get_document(docid: str) -> str:
    """Open a document of the library.

    Args:
        docid: The document's id, as the search shows it.
    """
    return ask(docid=docid)["text"]
