//! Does an element look like the pattern of a script? What the pattern leaves out is not asked for.
//!
//! In a pattern, `...` as an attribute's value or as text stands for anything; the value `(none)` asks that the attribute be
//! absent; a child `<none xmlns='test'>…</none>` asks that no child look like what it holds.

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
        ("(none)", None) | ("...", Some(_)) => Ok(()),
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
    if wanted.is_empty() || wanted == "..." || wanted == element.content().trim() {
        return Ok(());
    }
    Err(format!(
        "<{}>: expected the text {wanted:?}, found {:?}",
        element.name(),
        element.content()
    ))
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
}
