"Pydantic AI: one line for each run, with all its messages."
import json
from pydantic_ai import Agent, UsageLimits
from pydantic_ai.models.openai import OpenAIChatModel
import library


def search(query: str) -> list[dict]:
    "Search the library"
    return library.ask(query=query, rows=True)["rows"]


agent = Agent(OpenAIChatModel("patient"), instructions=library.INSTRUCTIONS, tools=[search, library.get_document])

with open("pydantic_ai.jsonl", "w") as log:
    for question in library.QUESTIONS:
        result = agent.run_sync(question["text"], usage_limits=UsageLimits(request_limit=60))
        log.write(json.dumps({"id": question["id"], "messages": json.loads(result.all_messages_json())}) + "\n")
