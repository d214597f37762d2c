"smolagents with OpenInference: the spans of all runs, as the OpenTelemetry console exporter writes them."
import os
from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from smolagents import OpenAIServerModel, ToolCallingAgent, tool
import library

with open("smolagents.jsonl", "w") as log:
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=10_000)) # With the usual 128 a long conversation loses its beginning
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=log, formatter=lambda span: span.to_json(indent=None) + "\n")))
    SmolagentsInstrumentor().instrument(tracer_provider=provider)
    model = OpenAIServerModel("aloud", api_base=os.environ["OPENAI_BASE_URL"], api_key="none")
    for question in library.QUESTIONS[:1]:
        ToolCallingAgent([tool(library.search), tool(library.get_document)], model, max_steps=30).run(question["text"])
