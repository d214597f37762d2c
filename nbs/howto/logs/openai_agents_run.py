"openai-agents: one line for each run, with its items as `to_input_list` gives them."
import json
from agents import Agent, Runner, function_tool, set_tracing_disabled
import library

set_tracing_disabled(True) # Traces go to a server of OpenAI
agent = Agent("librarian", instructions=library.INSTRUCTIONS, model="patient",
              tools=[function_tool(library.search), function_tool(library.get_document)])

with open("openai_agents.jsonl", "w") as log:
    for question in library.QUESTIONS:
        result = Runner.run_sync(agent, question["text"], max_turns=30)
        log.write(json.dumps({"id": question["id"], "items": result.to_input_list()}) + "\n")
