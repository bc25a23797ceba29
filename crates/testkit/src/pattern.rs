//! Does an element look like the pattern of a script? What the pattern leaves out is not asked for.
//!
//! In a pattern, `...` as an attribute's value or as text stands for anything; the value `(none)` asks that the attribute be
//! absent; `$name` in a value or text stands for anything at first, and from then on for what stood there; a child `<none xmlns='test'>…</none>` asks that no child look like what it holds.

use std::collections::BTreeMap;

use xml::{Element, Node};

/// Namespace of what means something special in patterns.
const TEST: &str = "test";

/// Says why `element` does not look like `pattern`; `Ok` when it does.
///
/// # Errors
/// The first difference, in words.
pub fn compare(pattern: &Element, element: &Element) -> Result<(), String> {
    if !element.is(pattern.ns(), pattern.name()) {
        return Err(format!(
            "expected <{} xmlns='{}'>, not <{} xmlns='{}'>",
            pattern.name(),
            pattern.ns(),
            element.name(),
            element.ns()
        ));
    }
    pattern
        .attributes()
        .try_for_each(|(name, wanted)| compare_attribute(name, wanted, element))?;
    compare_text(pattern, element)?;
    compare_children(pattern, element)
}

fn compare_attribute(name: &str, wanted: &str, element: &Element) -> Result<(), String> {
    match (wanted, element.attribute(name)) {
        ("(none)", None) => Ok(()),
        (wanted, Some(found)) if stands_for(wanted, found) => Ok(()),
        ("(none)", Some(found)) => Err(format!("<{}>: unexpected {name}='{found}'", element.name())),
        (wanted, found) => Err(format!(
            "<{}>: expected {name}='{wanted}', found {found:?}",
            element.name()
        )),
    }
}

fn compare_text(pattern: &Element, element: &Element) -> Result<(), String> {
    let wanted = pattern.content();
    let wanted = wanted.trim();
    if wanted.is_empty() || stands_for(wanted, element.content().trim()) {
        return Ok(());
    }
    Err(format!(
        "<{}>: expected the text {wanted:?}, found {:?}",
        element.name(),
        element.content()
    ))
}

/// Whether a value is as it is wanted.
fn stands_for(wanted: &str, found: &str) -> bool {
    wanted == "..." || wanted == found || Blank::of(wanted).is_some_and(|blank| blank.filled(found).is_some())
}

/// A value with `$name` in it.
struct Blank<'a> {
    before: &'a str,
    name: &'a str,
    after: &'a str,
}

impl<'a> Blank<'a> {
    fn of(value: &'a str) -> Option<Self> {
        let (before, rest) = value.split_once('$')?;
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        (!name.is_empty()).then_some(Self { before, name, after })
    }

    /// What stands in `found` where the name is here.
    fn filled<'b>(&self, found: &'b str) -> Option<&'b str> {
        found.strip_prefix(self.before)?.strip_suffix(self.after)
    }
}

/// The value with what was noted in the place of `$name`.
pub fn fill(value: &str, captured: &BTreeMap<String, String>) -> String {
    match Blank::of(value).and_then(|blank| Some((captured.get(blank.name)?, blank))) {
        Some((noted, blank)) => [blank.before, noted, blank.after].concat(),
        None => value.to_owned(),
    }
}

/// Notes what stands in `element`, which looks like the pattern, where that says `$name`.
pub fn capture(pattern: &Element, element: &Element, captured: &mut BTreeMap<String, String>) {
    let mut note = |wanted: &str, found: &str| {
        let Some(blank) = Blank::of(wanted.trim()) else { return };
        if let Some(noted) = blank.filled(found.trim()) {
            captured.insert(blank.name.to_owned(), noted.to_owned());
        }
    };
    for (name, wanted) in pattern.attributes() {
        note(wanted, element.attribute(name).unwrap_or_default());
    }
    note(&pattern.content(), &element.content());
    let mut left: Vec<&Element> = element.children().collect();
    for wanted in pattern.children() {
        if let Some(at) = left.iter().position(|child| compare(wanted, child).is_ok()) {
            capture(wanted, left.remove(at), captured);
        }
    }
}

/// Each child of the pattern must find a child of its own.
fn compare_children(pattern: &Element, element: &Element) -> Result<(), String> {
    let mut left: Vec<&Element> = element.children().collect();
    for wanted in pattern.children() {
        if wanted.is(TEST, "none") {
            if let Some(found) = wanted
                .children()
                .find_map(|bad| left.iter().find(|child| compare(bad, child).is_ok()))
            {
                return Err(format!("<{}>: unexpected {found}", element.name()));
            }
            continue;
        }
        let reasons: Vec<Result<(), String>> = left.iter().map(|child| compare(wanted, child)).collect();
        let Some(at) = reasons.iter().position(Result::is_ok) else {
            let reason = reasons
                .into_iter()
                .zip(&left)
                .find(|(_, child)| child.is(wanted.ns(), wanted.name()));
            let reason = reason.and_then(|(reason, _)| reason.err()).unwrap_or_default();
            return Err(format!("<{}>: no child like {wanted} ({reason})", element.name()));
        };
        left.remove(at);
    }
    Ok(())
}

/// Replaces text in every attribute and text node: scripts name people, runs give them names of their own.
pub fn rename(element: &Element, rename: &dyn Fn(&str) -> String) -> Element {
    let mut copy = Element::new(element.ns().to_owned(), element.name().to_owned());
    for (name, value) in element.attributes() {
        copy.set(name.to_owned(), rename(value));
    }
    element.nodes().iter().fold(copy, |copy, node| match node {
        Node::Element(child) => copy.push(self::rename(child, rename)),
        Node::Text(text) => copy.text(rename(text)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Element {
        Element::parse(text.as_bytes(), "jabber:client", &xml::Limits::default()).unwrap()
    }

    #[track_caller]
    fn check(pattern: &str, element: &str, fits: bool) {
        let result = compare(&parse(pattern), &parse(element));
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }

    #[test]
    fn what_is_left_out_is_not_asked_for() {
        check("<message/>", "<message id='1'><body>x</body></message>", true);
        check("<message id='1'/>", "<message id='1'/>", true);
        check("<message id='1'/>", "<message id='2'/>", false);
        check("<message id='...'/>", "<message id='2'/>", true);
        check("<message id='...'/>", "<message/>", false);
        check("<message id='(none)'/>", "<message/>", true);
        check("<message id='(none)'/>", "<message id=''/>", false);
        check(
            "<message><body>x</body></message>",
            "<message><body>x</body></message>",
            true,
        );
        check(
            "<message><body>x</body></message>",
            "<message><body>y</body></message>",
            false,
        );
        check(
            "<message><body>...</body></message>",
            "<message><body>y</body></message>",
            true,
        );
        check("<message><body/><body/></message>", "<message><body/></message>", false);
        check(
            "<message><x xmlns='a'/></message>",
            "<message><x xmlns='b'/></message>",
            false,
        );
        check(
            "<message><none xmlns='test'><x xmlns='b'/></none></message>",
            "<message><x xmlns='b'/></message>",
            false,
        );
        check(
            "<message><none xmlns='test'><x xmlns='b'/></none></message>",
            "<message><x xmlns='a'/></message>",
            true,
        );
        check("<message id='a-$id-b'/>", "<message id='a-1-b'/>", true);
        check("<message id='a-$id-b'/>", "<message id='a-1-c'/>", false);
        check("<message id='$'/>", "<message id='1'/>", false);
        check("<presence/>", "<message/>", false);
    }

    #[test]
    fn what_is_named_is_noted() {
        let mut captured = BTreeMap::new();
        let pattern = parse("<message><x xmlns='a' id='2'>$text</x><x xmlns='a' id='n.$id.'/></message>");
        let element = parse("<message><x xmlns='a' id='n.1.'/><x xmlns='a' id='2'>said</x></message>");
        assert_eq!(compare(&pattern, &element), Ok(()));
        capture(&pattern, &element, &mut captured);
        let noted = [("id", "1"), ("text", "said")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(captured, noted.into());
        assert_eq!(fill("a-$id/$text", &captured), "a-1/$text");
        assert_eq!(fill("$other", &captured), "$other");
    }
}
