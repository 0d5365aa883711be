"""A small Dash app: prices of a few made-up companies."""

import os
from datetime import date

import plotly.graph_objects as go
from dash import Dash, Input, Output, dcc, html
from flask import has_request_context, request
from prices import COMPANIES, FIRST, LAST, Series, all_prices

COLOURS = dict(zip(COMPANIES, ["#2563eb", "#64748b", "#16a34a", "#d97706", "#9333ea"], strict=True))
PRICES = all_prices()

app = Dash(__name__, title="Stocks")
server = app.server


def page() -> html.Div:
    """Called for each visit, so that the greeting names who is looking."""
    return html.Div(
        className="page", children=[header(), controls(), html.Div(id="cards"), chart()]
    )


def header() -> html.Header:
    greeting = os.environ.get("GREETING", "Welcome")
    # Dash also calls the layout once at start, when nobody is looking.
    visitor = request.headers.get("X-Moorage-User") if has_request_context() else None
    return html.Header(
        [
            html.Div([html.H1("Stocks"), html.P("Five companies that do not exist")]),
            html.P(f"{greeting}, {visitor or 'stranger'}", id="greeting"),
        ]
    )


def controls() -> html.Div:
    names = [{"label": name, "value": symbol} for symbol, name in COMPANIES.items()]
    return html.Div(
        className="controls",
        children=[
            dcc.Dropdown(names, ["HBL", "QTZ", "TDW"], id="companies", multi=True),
            dcc.DatePickerRange(
                id="range",
                min_date_allowed=FIRST,
                max_date_allowed=LAST,
                start_date=date(2025, 1, 1),
                end_date=LAST,
                display_format="D MMM YYYY",
            ),
            dcc.RadioItems(
                {"price": "Price", "change": "Change"}, "price", id="measure", inline=True
            ),
        ],
    )


def chart() -> html.Div:
    return html.Div(
        className="panel", children=dcc.Graph(id="chart", config={"displaylogo": False})
    )


@app.callback(
    Output("chart", "figure"),
    Output("cards", "children"),
    Input("companies", "value"),
    Input("range", "start_date"),
    Input("range", "end_date"),
    Input("measure", "value"),
)
def show(
    companies: list[str] | None, first: str | None, last: str | None, measure: str
) -> tuple[go.Figure, list[html.Div]]:
    """The figure and one card per company for the chosen range."""
    span = date.fromisoformat(first or str(FIRST)), date.fromisoformat(last or str(LAST))
    shown = {symbol: PRICES[symbol].between(*span) for symbol in companies or []}
    filled = {symbol: series for symbol, series in shown.items() if series.days}
    return figure(filled, measure), [card(symbol, series) for symbol, series in filled.items()]


def figure(shown: dict[str, Series], measure: str) -> go.Figure:
    change = measure == "change"
    drawn = go.Figure(
        layout={
            "template": "plotly_white",
            "hovermode": "x unified",
            "margin": {"l": 56, "r": 16, "t": 16, "b": 40},
            "legend": {"orientation": "h", "y": 1.08},
            "font": {"family": "system-ui, sans-serif"},
            "yaxis": {"ticksuffix": " %" if change else "", "tickprefix": "" if change else "€ "},
        }
    )
    for symbol, series in shown.items():
        values = percent(series) if change else series.closes
        line = {"color": COLOURS[symbol], "width": 2}
        drawn.add_scatter(x=series.days, y=values, name=COMPANIES[symbol], line=line)
    return drawn


def percent(series: Series) -> list[float]:
    """Change against the first day of the range."""
    return [round((close / series.closes[0] - 1) * 100, 2) for close in series.closes]


def card(symbol: str, series: Series) -> html.Div:
    change = percent(series)[-1]
    return html.Div(
        className="card",
        style={"borderTopColor": COLOURS[symbol]},
        children=[
            html.Span(COMPANIES[symbol]),
            html.Strong(f"€ {series.closes[-1]:,.2f}"),
            html.Em(f"{change:+.1f} %", className="up" if change >= 0 else "down"),
        ],
    )


app.layout = page

if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8050")))
