"""Writes Fixtures/golden/jinja.json: templates, and what Jinja makes of them with transformers' settings for chats.

Run it with transformers 5.5.4 and Jinja2 3.1.6. Times are the word TIME, whatever the format.
"""

import json
import pathlib

import jinja2
import transformers
from transformers.utils.chat_template_utils import _compile_jinja_template

assert transformers.__version__ == "5.5.4" and jinja2.__version__ == "3.1.6"

VARIABLES = {
    "messages": [
        {"role": "system", "content": "You are  "},
        {"role": "user", "content": "Hi <b>\n there"},
        {
            "role": "assistant",
            "content": "<think>\nhm\n</think>\n\nHello",
            "tool_calls": [
                {"type": "function", "function": {"name": "f", "arguments": {"a": 1, "b": [1.5, None, True, 'é"x']}}}
            ],
        },
        {"role": "tool", "content": "42", "name": "f"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": 'does "f"',
                "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
            },
        }
    ],
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True, "enable_thinking": False, "n": 7,
    "s": "  Hello, World  ", "l": [3, 1, 2], "d": {"b": 1, "a": 2}, "e": [], "none": None, "f": 2.5, "t": True,
    "words": ["b", "A", "c", "a"],
}

TEMPLATES = [
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m['content'] | trim }}{% if not loop.last %}|{% endif %}{% endfor %}",
    "{%- for m in messages -%}\n  {{- '<|' + m.role + '|>' -}}\n  {%- if loop.first %}F{% elif loop.last %}L{% else %}{{ loop.index0 }}{{ loop.revindex }}{% endif -%}\n{%- endfor -%}",
    "{% set ns = namespace(x=0, y='a') %}{% for i in range(5) %}{% set ns.x = ns.x + i %}{% set q = i %}{% endfor %}{{ ns.x }}{{ q is defined }}{{ ns.y }}",
    '{{ tools | tojson }} {{ tools | tojson(indent=4) }} {{ d | tojson(indent=2, sort_keys=True) }}',
    "{% macro hi(a, b='z', c=3) %}[{{ a }}-{{ b }}-{{ c }}{{ varargs is defined }}]{% endmacro %}{{ hi(1) }}{{ hi('q', c=9) }}{{ hi(b=2, a=5) }}",
    "{{ s.strip() }}|{{ s | upper }}|{{ s.split(',') }}|{{ s[2:7] }}|{{ s[::-1] }}|{{ s.strip()[-1] }}|{{ 'a,b,,c'.split(',') }}|{{ ' a  b '.split() }}",
    "{{ l | sort }}{{ l | sort(reverse=true) }}{{ l | first }}{{ l | last }}{{ l | length }}{{ l | sum }}{{ l | join(', ') }}{{ l | reverse | list }}{{ l | max }}{{ l | min }}",
    "{{ words | sort }}{{ words | unique | list }}{{ words | map('upper') | list }}{{ messages | map(attribute='role') | join('/') }}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ messages | rejectattr('tool_calls', 'defined') | map(attribute='role') | list }}{{ l | select('odd') | list }}{{ l | reject('gt', 1) | list }}",
    "{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 3.0 * 2 }} {{ 10 / 5 }} {{ -n }} {{ n ~ 'x' ~ 1.0 }} {{ 1e3 }} {{ 5 // 2.0 }}",
    '{{ d }} {{ l }} {{ none }} {{ true }} {{ [1, \'a\', "it\'s", None, 2.0] }} {{ (1, 2) | list }} {{ {\'a\': [1, {\'b\': none}]} }}',
    "{{ x is defined }} {{ x | default('dd') }} {{ none | default('dd') }} {{ none | default('dd', true) }} {{ '' | d('e', true) }} {{ x }}",
    "{% if n > 5 and n < 10 and not (n == 8) or false %}yes{% else %}no{% endif %}{{ 'a' if n == 7 else 'b' }}{{ 'a' if n == 8 }}{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 'x' in 'xyz' }}{{ 2 not in l }}{{ 'a' in d }}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in d | items %}{{ k }}{{ v }}{% endfor %}{% for k, v in d | dictsort %}{{ k }}{{ v }}{% endfor %}{{ d.keys() | list }}{{ d.values() | list }}{{ d.get('a') }}{{ d.get('zz', 5) }}{{ d.get('zz') }}",
    '{% for x in e %}x{% else %}empty{% endfor %}{% for x in l if x > 1 %}{{ x }}{{ loop.length }}{% endfor %}{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}',
    "{# comment #}a{#- c -#} b {{- ' c' -}} d",
    'line1\n  {% if true %}\n  indented\n  {% endif %}\nafter',
    '{% set x %}captured {{ n }}{% endset %}{{ x }}|{% set y = 1, 2 %}{{ y[0] }}{% set a, b = l[0], l[1] %}{{ a }}{{ b }}',
    '{% raw %}{{ not }} {% code %}{% endraw %}{%- raw -%} x {%- endraw -%}',
    '{{ strftime_now(\'%Y\') }}{{ "a\\nb\\t\\"q\\" \\u00e9" }}{{ \'it\'\'s\' }}{{ \'con\' \'cat\' }}',
    "{{ s is string }}{{ n is number }}{{ n is integer }}{{ f is float }}{{ d is mapping }}{{ l is sequence }}{{ l is iterable }}{{ none is none }}{{ t is true }}{{ t is boolean }}{{ n is odd }}{{ n is divisibleby 7 }}{{ n is not none }}{{ 'abc' is in ['abc'] }}{{ n is eq 7 }}{{ 'ABC' is upper }}{{ 'abc' is lower }}",
    "{{ 'a-b-c'.replace('-', '+') }}{{ 'abc' | replace('b', 'X') }}{{ 'abc'.startswith('ab') }}{{ 'abc'.endswith(('x','c')) }}{{ 'hello world' | capitalize }}{{ 'hello world' | title }}{{ 'hello wORLD'.title() }}{{ 'x'.join(['a','b']) }}{{ 'abcabc'.find('c') }}{{ 'abcabc'.count('a') }}{{ 'a\\nb\\n'.splitlines() }}{{ 'abc'.lstrip('a') }}{{ 'xxaxx'.strip('x') }}{{ 'a b c'.split(' ', 1) }}{{ 'a b c'.rsplit(' ', 1) }}",
    '{{ \'%s is %d and %.2f %%\' % (\'a\', 3, 2.555) }}{{ \'{} {1} {n}\'.replace(\'{1}\', \'q\') }}{{ \'x{}y{}\'.format(1, \'b\') }}{{ "%s" | format(\'z\') }}',
    "{{ 'a\\nb\\n\\nc' | indent }}|{{ 'a\\nb' | indent(2, true) }}|{{ '  x ' | trim }}|{{ 3.7 | int }}{{ '42' | int }}{{ 'x' | int(5) }}{{ '2.5' | float }}{{ 2.567 | round(1) }}{{ 2.5 | round }}{{ -3 | abs }}{{ 5 | string + 'a' }}",
    "{{ loop is defined }}{% for a in [[1,2],[3,4]] %}{% for b in a %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}{% for x in l %}{{ loop.cycle('o','e') }}{{ loop.previtem is defined }}{{ loop.nextitem | default('end') }}{{ loop.changed(x > 1) }}{% endfor %}",
    "{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set messages = messages[1:] %}{%- endif %}{{ messages | length }}{{ system_message }}",
    '{{- "{\\"name\\": " ~ messages[2].tool_calls[0].function.name | tojson ~ \', "arguments": \' ~ (messages[2].tool_calls[0].function.arguments | tojson) ~ \'}\' }}',
    '{%+ if true +%}\nx\n{%+ endif %}\n y {%- if false -%} z {%- endif +%}\n w',
    "{% generation %}gen{{ n }}{% endgeneration %}{{ [1,2] + [3] }}{{ 'ab' * 3 }}{{ (1,) + (2,) | list if false else '' }}{{ '' or 'x' }}{{ 0 and 1 }}{{ not none }}",
    '{{ \'é日本\'|length }}{{ \'é日本\'[1] }}{{ \'ÉCOLE\'.lower() }}{{ \'straße\'.upper() }}{{ {\'x\': \'é\'} | tojson }}{{ \'a<b>&"c\' | e }}{{ \'a<b>\' | safe }}',
    '{% set ns2 = namespace() %}{% set ns2.a = [] %}{% for i in [1,2] %}{% set ns2.a = ns2.a + [i] %}{% endfor %}{{ ns2.a }}{{ range(3) | list }}{{ range(1, 8, 3) | list }}{{ range(5, 0, -2) | list }}',
    "{{ dict(a=1, b='x') }}{{ ['a', 'b'] | map('length') | list }}{{ [{'a': {'b': 1}}, {'a': {'b': 0}}] | sort(attribute='a.b') }}{{ [1, 2, 3, 4][1:-1] }}{{ [1,2,3,4][::2] }}{{ 'abc'[5:] }}{{ d['b'] }}{{ l.index(2) }}",
    "{{ raise_exception('bad thing') }}",
    '{{ undefinedfn() }}',
    '{{ x.y }}',
    "{{ 1 + 'a' }}",
    "{{ 'a' | nofilter }}",
    '{% if %}x{% endif %}',
    '{% for %}{% endfor %}',
    '{% endif %}',
    '{{ ',
    '{% unknown %}',
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m['content'] | trim }}{% if not loop.last %}|{% endif %}{% endfor %}\n{%- for m in messages -%}\n  {{- '<|' + m.role + '|>' -}}\n  {%- if loop.first %}F{% elif loop.last %}L{% else %}{{ loop.index0 }}{{ loop.revindex }}{% endif -%}\n{%- endfor -%}\n\n",
    ' {% if true %}\nA\n {% endif %}\n  {{ n }}  {% if true %}B{% endif %}\n\n',
    'a {% if true %} b\n  {%- if true %}\n c {% endif %}\n{% endif %}\n d\r\n',
    "{% macro wrap(tag) %}<{{ tag }}>{{ caller() }}</{{ tag }}>{% endmacro %}{% call wrap('b') %}in {{ n }}{% endcall %}|{% macro each(items) %}{% for i in items %}{{ caller(i) }};{% endfor %}{% endmacro %}{% call(x) each(l) %}{{ x * 2 }}{% endcall %}",
    "{%- if tools %}\n    {{- '<|start|>system\\n' }}\n    {%- if messages[0].role == 'system' %}{{- messages[0].content | trim + '\\n\\n' }}{%- endif %}\n    {{- 'Functions:' }}\n    {%- for tool in tools %}\n        {{- '\\n' ~ (tool.function | tojson) }}\n    {%- endfor %}\n    {{- '<|end|>\\n' }}\n{%- elif messages[0].role == 'system' %}\n    {{- '<|start|>system\\n' + messages[0].content + '<|end|>\\n' }}\n{%- endif %}\n{%- set ns = namespace(last_user=-1) %}\n{%- for m in messages[::-1] %}\n    {%- set index = messages | length - 1 - loop.index0 %}\n    {%- if ns.last_user < 0 and m.role == 'user' %}{%- set ns.last_user = index %}{%- endif %}\n{%- endfor %}\n{%- for m in messages %}\n    {%- if m.role == 'system' and loop.first %}\n    {%- elif m.role == 'user' or m.role == 'system' %}\n        {{- '<|start|>' ~ m.role ~ '\\n' ~ m.content ~ '<|end|>\\n' }}\n    {%- elif m.role == 'assistant' %}\n        {%- set thought = '' %}{%- set content = m.content %}\n        {%- if '</think>' in content %}\n            {%- set thought = content.split('</think>')[0].split('<think>')[-1].strip('\\n') %}\n            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}\n        {%- endif %}\n        {{- '<|start|>assistant\\n' }}\n        {%- if thought and loop.index0 > ns.last_user %}{{- '<think>\\n' ~ thought ~ '\\n</think>\\n\\n' }}{%- endif %}\n        {{- content }}\n        {%- if m.tool_calls is defined and m.tool_calls is iterable %}\n            {%- for call in m.tool_calls %}\n                {%- set call = call.function if call.function else call %}\n                {{- '\\n<call>' ~ {'name': call.name, 'arguments': call.arguments} | tojson ~ '</call>' }}\n            {%- endfor %}\n        {%- endif %}\n        {{- '<|end|>\\n' }}\n    {%- elif m.role == 'tool' %}\n        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|start|>user' }}{%- endif %}\n        {{- '\\n<result>' ~ m.content ~ '</result>' }}\n        {%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|end|>\\n' }}{%- endif %}\n    {%- else %}\n        {{- raise_exception('unknown role ' ~ m.role) }}\n    {%- endif %}\n{%- endfor %}\n{%- if add_generation_prompt %}\n    {{- '<|start|>assistant\\n' }}\n    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}\n{%- endif %}\n",
]


# Mechanisms that real models' templates use: false values in filters, generators, tuples, methods as members, escaped
# text, comments and raw text, marks of what is learned.
TEMPLATES += [
    "{{ none | selectattr('a') | list }}{{ 0 | select | list }}{{ false | reject('odd') | list }}{{ '' | rejectattr('a', 'defined') | list }}{{ none | map(attribute='x') | list }}{{ x | map('upper') | list }}{{ 0 | map('upper') | join }}",
    "{{ 5 | select | list }}",
    "{{ none | list }}",
    "{{ true | map('upper') | list }}",
    "{% if [] | select('odd') %}a generator is true{% endif %}{% if e %}never{% else %}a list is not{% endif %}",
    "{% set g = l | select('odd') %}{{ g | list }}{{ g | list }}{{ (l | map('string')) | first }}{{ 3 in (l | select) }}",
    "{{ (l | select) | length }}",
    "{{ {'a': l | map('string')} | tojson }}",
    "{{ d.items() | tojson }}",
    "{{ d.items() | list }}{{ d.keys() }}{{ d.values() }}{{ d.items() }}{{ d.keys() | length }}{% if {}.items() %}x{% else %}empty{% endif %}{{ 'a' in d.keys() }}{{ d.keys() is sequence }}{{ d.keys() is iterable }}",
    "{{ (1, 'a') }}{{ (1,) }}{{ () }}{{ 1, 2 }}{{ (1, 2) == [1, 2] }}{{ (1, 2) == (1, 2) }}{{ (1, 2) + (3,) }}{{ [1, (2, 3)] }}{{ (1, 2) | tojson }}",
    "{{ (1, 2) + [3] }}",
    "{{ '%s' % [1, 2] }}{{ '%s-%s' % (1, 2) }}{{ '%s' | format([1]) }}{{ 'a.b.c'.partition('.') }}{{ 'a.b.c'.rpartition('.') }}",
    "{% set p = {'items': {'type': 'x'}, 'get': 1} %}{{ p.items is mapping }}{{ p['items'] is mapping }}{{ p.items is defined }}{{ d.items is defined }}{{ d['items'] is defined }}{{ d.nothing is defined }}{{ d['nothing'] is defined }}{{ p['get'] }}{{ p.get('items').type }}{{ p.items is callable }}",
    "{{ d.update is defined }}{{ l.append is defined }}{{ s.strip is defined }}{{ s['strip'] is defined }}{{ s.nothing is defined }}{{ l.index is callable }}{% set f = s.strip %}{{ f() }}",
    "{{ '<b>' | safe + '<i>' }}{{ '<i>' + '<b>' | safe }}{{ '<b>' | safe ~ '<i>' }}{{ ('a<' | e) + '<' }}{{ '<' | e | e }}{{ '<' | e | forceescape }}{{ ('a' | safe) == 'a' }}{{ 'a' | safe is string }}{{ 'a' | safe is escaped }}{{ ('a' | safe) ~ 1 }}{{ '\"\\'&' | escape }}",
    "{# c #}  {% if true %}\n  x{# d #}\n  {% endif %}y\n  {#- e #}\n\n{# f -#}  z",
    "{% raw %}\n{{ a }}\n  {% endraw %}\nb{%- raw +%} x",
    "{% raw %}\n{{ a }}\n  {% endraw %}\nb\n {%- raw -%} \n x {%+ endraw %}\ny",
    "{% generation %}{% set q = 1 %}a{{ q }}é{% endgeneration %}{{ q is defined }}-{% for i in l %}{% generation %}{{ i }};{% endgeneration %}{% endfor %}{% set c %}{% generation %}in{% endgeneration %}{% endset %}{{ c }}",
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}",
    "{{ d | tojson(true) }}{{ {'é': 1} | tojson(true) }}{{ d | tojson(false, 2) }}{{ d | tojson(separators=(',', ':')) }}{{ d | tojson(ensure_ascii=False, sort_keys=true) }}",
    "{{ 'hello-world (foo) [bar]' | title }}{{ \"it's o'neil\" | title }}{{ \"it's o'neil\".title() }}{{ 'ab\\x1fcd' }}",
    "{{ '\\x1c a \\x1f' | trim }}|{{ 'a\\x1db c'.split() }}|{{ 'a\\rb\\r\\nc\\x0bd\\u2028e'.splitlines() }}|{{ 'a\\n'.splitlines(true) }}|{{ '\\u00a0x\\u2003'.strip() }}|{{ '\\ufeffx\\u200b'.strip() | length }}|{{ '\\101\\60' }}",
    "{{ 'abc'.replace('', '-') }}{{ 'abc' | replace('', '.', 2) }}{{ 12 | replace(1, 3) }}{{ 'a b  c d'.rsplit(none, 2) }}{{ 'a b c'.rsplit() }}{{ 'abcb'.rindex('b') }}{{ '7'.zfill(3) }}{{ '-7'.zfill(4) }}{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '.') }}|{{ 'ab'.center(5, '*') }}{{ 'abc'.center(6, '*') }}|{{ 'x' | center(4) }}|",
    "{{ 'a1'.isalnum() }}{{ '²'.isdigit() }}{{ '²'.isdecimal() }}{{ '½'.isnumeric() }}{{ 'aB'.swapcase() }}{{ 'aß'.isascii() }}{{ ''.isdigit() }}",
    "{% for r in [{'n': 1, 'c': [{'n': 2, 'c': [{'n': 3}]}, {'n': 4}]}] recursive %}{{ loop.depth }}:{{ r.n }}{% if r.c %}[{{ loop(r.c) }}]{% endif %}{% endfor %}",
    "{% macro f(a) %}{{ a }}{{ kwargs }}{{ varargs }}{% endmacro %}{{ f(1, 2, b=3) }}{% macro g(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ g(*[1, 2]) }}{{ g(**{'a': 3, 'b': 4}) }}{{ g(1, **{'b': 5}) }}",
    "{% for g in messages | groupby('role') %}{{ g.grouper if g.grouper else g[0] }}:{{ g[1] | length }};{% endfor %}{{ [1, 2, 3, 4, 5] | batch(2) | list }}{{ [1, 2, 3] | batch(2, 0) | list }}{{ [1, 2, 3, 4, 5] | slice(3) | list }}{{ [{'a': 2}, {'a': 1}] | min(attribute='a') }}{{ [{'a': 2}, {'a': 1}] | max(attribute='a') }}",
    "{{ 'a long text of many words' | truncate(12) }}|{{ 'a long text of many words' | truncate(12, true) }}|{{ 'short' | truncate(3) }}|{{ 'abcdefghijk' | truncate(5, true, '..') }}",
    "{{ dict([]) if false else dict(a=1) }}{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.current }}{% block title %}B{{ n }}{% endblock %}",
    "{{ [3, 1, 2] | reverse | list }}{{ [1, 2] | reverse | first }}{% set r = [1, 2] | reverse %}{{ r | list }}{{ r | list }}{{ ('a', 'b') | reverse | join }}{{ 'ab' | reverse }}",
    "{{ l | unique | first }}{{ messages | map(attribute='content') | map('length') | list }}{{ messages | map(attribute='nothing', default='-') | join }}{{ [[1, 2], [3]] | map('first') | list }}{{ [[1, 2], [3]] | map(attribute=0) | list }}{{ words | map('replace', 'a', 'x') | list }}",
    "{{ x | length }}{{ x | list }}{{ x | join }}{{ x | trim }}{{ x ~ 'a' }}{{ x | default([]) | length }}{{ x is iterable }}{{ x is sequence }}{{ x is mapping }}{{ 'a' in x }}{% for y in x %}{% else %}nothing{% endfor %}",
    "{{ x + 'a' }}",
    "{{ none + 'a' }}",
    "{{ 123456789012345678901234567890 }}{{ [123456789012345678901234567890] | tojson }}{{ 0.1 + 0.2 }}{{ 1e16 }}{{ 1e22 }}{{ 1.0 }}{{ 1e-7 }}{{ [1.0, 1e-5] | tojson }}",
    "{% for k, v in d | items %}{{ loop.index }}{{ loop.last }}{{ k }}{% endfor %}{% for x in l | select('odd') %}{{ loop.length }}{{ loop.revindex0 }}{% endfor %}{% for x in [] %}{% else %}{% set inner = 1 %}{% endfor %}{{ inner is defined }}",
    "{{ 'trim' is filter }}{{ 'nothing' is filter }}{{ n is sameas 7 }}{{ [1] is sameas [1] }}{{ 2 is in [1, 2] }}{{ 'ab' is not in 'cab' }}{{ d is not string }}{{ n | attr('x') is defined }}",
]


def main():
    cases = []
    for source in TEMPLATES:
        try:
            template = _compile_jinja_template(source)
            template.environment.globals["strftime_now"] = lambda format: "TIME"
            cases.append({"template": source, "text": template.render(**VARIABLES)})
        except (jinja2.TemplateError, TypeError) as error:
            cases.append({"template": source, "error": str(error)})
    target = pathlib.Path(__file__).parents[2] / "Fixtures/golden/jinja.json"
    target.write_text(json.dumps({"variables": VARIABLES, "cases": cases}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
