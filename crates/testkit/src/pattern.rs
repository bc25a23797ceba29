//! Does an element look like the pattern of a script? What the pattern leaves out is not asked for.
//!
//! In a pattern, `...` as an attribute's value or as text stands for anything; the value `(none)` asks that the attribute be
//! absent; a value or text `$name` stands for anything at first, and from then on for what stood there; a child `<none xmlns='test'>…</none>` asks that no child look like what it holds.

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
        (wanted, Some(_)) if is_open(wanted) => Ok(()),
        ("(none)", Some(found)) => Err(format!("<{}>: unexpected {name}='{found}'", element.name())),
        (wanted, Some(found)) if wanted == found => Ok(()),
        (wanted, found) => Err(format!(
            "<{}>: expected {name}='{wanted}', found {found:?}",
            element.name()
        )),
    }
}

fn compare_text(pattern: &Element, element: &Element) -> Result<(), String> {
    let wanted = pattern.content();
    let wanted = wanted.trim();
    if wanted.is_empty() || is_open(wanted) || wanted == element.content().trim() {
        return Ok(());
    }
    Err(format!(
        "<{}>: expected the text {wanted:?}, found {:?}",
        element.name(),
        element.content()
    ))
}

/// Whether a value stands for anything.
fn is_open(wanted: &str) -> bool {
    wanted == "..." || wanted.starts_with('$')
}

/// Notes what stands in `element`, which looks like the pattern, where that says `$name`.
pub fn capture(pattern: &Element, element: &Element, captured: &mut BTreeMap<String, String>) {
    let mut note = |wanted: &str, found: &str| {
        if let Some(name) = wanted.trim().strip_prefix('$') {
            captured.insert(name.to_owned(), found.trim().to_owned());
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
        check("<presence/>", "<message/>", false);
    }

    #[test]
    fn what_is_named_is_noted() {
        let mut captured = BTreeMap::new();
        let pattern = parse("<message><x xmlns='a' id='2'>$text</x><x xmlns='a' id='$id'/></message>");
        let element = parse("<message><x xmlns='a' id='1'/><x xmlns='a' id='2'>said</x></message>");
        assert_eq!(compare(&pattern, &element), Ok(()));
        capture(&pattern, &element, &mut captured);
        let noted = [("id", "1"), ("text", "said")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(captured, noted.into());
    }
}
