"""What the page is for eyes, keyboards and screen readers; each rule asked of the real browser."""

from rows import check, same

# WCAG 2.2, 1.4.3: text against what is behind it.
CONTRAST_MIN = 4.5

CONTRASTS = """(() => {
    const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b]
        .map((v) => v / 255)
        .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
        .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = rgb(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const found = [];
    for (const node of document.querySelectorAll('body *')) {
        const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
        if (!own || node.tagName === 'NOSCRIPT' || node.tagName === 'SCRIPT' || node.tagName === 'STYLE') continue;
        const [front, back] = [light(rgb(getComputedStyle(node).color)), light(behind(node))];
        const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
        found.push([Number(ratio.toFixed(2)), node.tagName, node.textContent.slice(0, 40)]);
    }
    return found;
})()"""

SKIPPED_RANKS = """(() => {
    const ranks = [...document.querySelectorAll('h1, h2, h3, h4')]
        .filter((node) => !node.closest('noscript'))
        .map((node) => Number(node.tagName[1]));
    return ranks.filter((rank, at) => rank > (at === 0 ? 1 : ranks[at - 1] + 1)).length;
})()"""

FOCUSED = """(() => {
    const node = document.activeElement;
    const name = node.getAttribute('aria-label') || node.textContent.trim();
    const box = node.getBoundingClientRect();
    return [node.tagName, name, getComputedStyle(node).outlineStyle, box.width > 0 && box.left >= 0];
})()"""


def readable(world, scheme):
    page = world.page
    page.scheme(scheme)
    dark = page.run("matchMedia('(prefers-color-scheme: dark)').matches")
    same(dark, scheme == "dark", "the scheme")
    found = page.run(CONTRASTS)
    check(len(found) > 50, f"only {len(found)} texts")
    low = [one for one in found if one[0] < CONTRAST_MIN]
    same(low, [], f"texts below {CONTRAST_MIN}:1")
    return f"{len(found)} texts, at least {min(one[0] for one in found)}:1"


def light(world):
    return readable(world, "light")


def dark(world):
    note = readable(world, "dark")
    world.page.scheme("light")
    return note


def phone(world):
    page = world.page
    page.size(360, 740, mobile=True)
    try:
        width, inner = page.run("[document.scrollingElement.scrollWidth, innerWidth]")
        check(width <= inner, f"the page is {width} wide on {inner}")
        small = page.run("""[...document.querySelectorAll('button, nav a, summary')]
            .filter((node) => node.getBoundingClientRect().height < 24).map((node) => node.textContent)""")
        # WCAG 2.2, 2.5.8.
        same(small, [], "controls lower than 24 pixels")
    finally:
        page.size(1100, 900)


def no_colour_alone(world):
    """Every level has its sign beside its colour."""
    bare = world.page.run("""[...document.querySelectorAll('[data-level]')]
        .filter((node) => !(node instanceof SVGElement))
        .filter((node) => !/[✓!✕…]/.test(getComputedStyle(node, '::before').content))
        .map((node) => node.textContent)""")
    same(bare, [], "levels told by colour alone")
    heights = world.page.run("new Set([...document.querySelectorAll('#bars rect')].map((r) => r.getAttribute('y'))).size")
    states = world.page.run("new Set([...document.querySelectorAll('#bars rect')].map((r) => r.dataset.state)).size")
    same(heights, states, "lanes of the timeline, and states in it")


def keyboard(world):
    # Where the focus was before is where Tab begins: a page that nobody has touched.
    page = world.browser.page()
    page.open(world.agent.url)
    page.until("a denial to look into", "document.querySelector('#denial-list summary') !== null")
    seen = []
    for _ in range(60):
        page.press("Tab")
        tag, name, outline, _ = page.run(FOCUSED)
        if tag == "BODY":
            break
        check(name, f"a {tag} without a name can be focused")
        check(outline != "none", f"{name}: the focus cannot be seen")
        seen.append(f"{tag} {name[:30]}")
    same(seen[0], "A Skip to the status", "what comes first")
    for wanted in ("BUTTON Pause updates", "A Availability", "SUMMARY Request and certificate"):
        check(wanted in seen, f"{wanted} is not reached: {seen}")
    for region in ("DIV Supervision tree", "DIV Decisions by answer", "DIV Configuration in force"):
        check(region in seen, f"{region} cannot be scrolled by keyboard")
    check(len(seen) == len(set(seen)) or seen.count("SUMMARY Request and certificate") > 1, "a trap")
    return f"{len(seen)} stops"


def screen_reader(world):
    page = world.page
    same(page.run(SKIPPED_RANKS), 0, "skipped ranks of headings")
    same(page.run("document.querySelectorAll('h1').length"), 1, "first headings")
    same(page.run("document.documentElement.lang"), "en", "the language")
    nodes = page.named_roles()
    roles = {role for role, _ in nodes}
    for role in ("banner", "navigation", "main", "status"):
        check(role in roles, f"no {role}")
    for role, name in nodes:
        check(name or role not in ("button", "link", "region", "table", "image", "heading", "columnheader", "navigation"),
              f"a {role} without a name")
    same(page.run("document.querySelectorAll('[aria-live]').length"), 1, "live regions")
    return f"{len(nodes)} nodes"


CASES = [
    ("readable in the light", light),
    ("readable in the dark", dark),
    ("on a phone", phone),
    ("nothing is told by colour alone", no_colour_alone),
    ("by keyboard", keyboard),
    ("by screen reader", screen_reader),
]
