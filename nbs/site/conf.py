"Sphinx settings of the documentation site; `build.py` writes the sources that they apply to."
import latex2mathml.converter

project, author, copyright = "lrat", "the lrat authors", "2026 onwards, the lrat authors"
extensions = ["myst_nb"]
html_theme, html_title, html_static_path, html_css_files = "furo", "lrat", ["_static"], ["site.css"]
html_show_sphinx = False
smartquotes = False  # Options begin with two hyphens
html_copy_source = html_show_sourcelink = False
nb_execution_mode = "off"  # The notebooks are shown as they were run
nb_merge_streams = True
nb_code_prompt_show, nb_code_prompt_hide = "imports", "imports"
myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
pygments_style, pygments_dark_style = "friendly", "monokai"
html_math_renderer = "mathml"  # Every current browser draws MathML itself, so the site needs no script from elsewhere
suppress_warnings = ["myst.header"]  # A cell may begin with any level of heading


def _mathml(display):
    def visit(translator, node):
        from docutils import nodes
        translator.body.append(latex2mathml.converter.convert(node.astext(), display=display))
        raise nodes.SkipNode
    return visit


def setup(app): app.add_html_math_renderer("mathml", (_mathml("inline"), None), (_mathml("block"), None))
