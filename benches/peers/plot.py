"""A bar chart as SVG, without a library: `chart(title, unit, rows)`, rows of (name, value, note)."""

from html import escape

WIDTH, LABEL, BAR, GAP = 860, 330, 22, 8


def chart(title, unit, rows):
    """Horizontal bars, the longest first; gristmill's are filled darker."""
    rows = sorted(rows, key=lambda row: -row[1])
    height = 64 + len(rows) * (BAR + GAP)
    scale = (WIDTH - LABEL - 150) / max((value for _, value, _ in rows), default=1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="24" font-size="16" font-weight="bold" fill="#222222">{escape(title)}</text>',
        f'<text x="12" y="44" fill="#555555">{escape(unit)}; longer is better</text>',
    ]
    for index, (name, value, note) in enumerate(rows):
        top = 56 + index * (BAR + GAP)
        colour = "#1f5f8b" if name.startswith("gristmill") else "#b9c4cc"
        middle = top + BAR * 0.7
        parts += [
            f'<text x="{LABEL - 8}" y="{middle:.0f}" text-anchor="end" fill="#222222">{escape(name)}</text>',
            f'<rect x="{LABEL}" y="{top}" width="{max(1, value * scale):.0f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LABEL + value * scale + 6:.0f}" y="{middle:.0f}" fill="#222222">{value:.0f} {escape(note)}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
