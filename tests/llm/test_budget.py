"The ledger of what models cost: a broken line is named, and never a traceback."
import pytest
from lrat.core.settings import InputError
from lrat.llm.budget import Meter, read_allowance


@pytest.mark.parametrize("line,says", [('{"model": "m", "read": 1, "wri{"model": "m"}', "is not valid JSON"), ('{"model": "m", "read": 1}', "no field 'written'"),
                                       ('{"model": "m", "read": NaN, "written": 1}', "NaN"), ("3", "spent")])
def test_a_broken_line_is_named(tmp_path, line, says):
    ledger = tmp_path/"spent.jsonl"
    ledger.write_text('{"model": "m", "read": 5, "written": 2}\n' + line + "\n")
    with pytest.raises(InputError, match="spent.jsonl") as caught: Meter(read_allowance("1000 tokens"), ledger).update()
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_line_that_is_still_being_written_is_read_later(tmp_path):
    ledger = tmp_path/"spent.jsonl"
    ledger.write_text('{"model": "m", "read": 5, "written": 2}\n{"model": "m", "re')
    meter = Meter(read_allowance("1000 tokens"), ledger)
    meter.update()
    assert meter.tokens == 7
    with ledger.open("a") as file: file.write('ad": 1, "written": 1}\n')
    meter.update()
    assert meter.tokens == 9
