//! Documents that claim something name what proves it: a claim whose proof is gone is a complaint.

use std::path::Path;

const DOCUMENT: &str = "docs/compliance.md";
const SCRIPTS: &str = "tests/conformance";

/// Lines of the document that hold without a proof, and proofs that are not there.
pub(crate) fn complaints(root: &Path) -> Vec<String> {
    match std::fs::read_to_string(root.join(DOCUMENT)) {
        Ok(text) => compare(&text, |proof| is_there(root, proof)),
        Err(error) => vec![format!("{DOCUMENT}: {error}")],
    }
}

fn compare(text: &str, is_there: impl Fn(&str) -> bool) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let [_, feature, _, _, holds, proof, _] = cells[..]
            && holds.starts_with("yes")
            && !proof.contains('`')
        {
            complaints.push(format!("{DOCUMENT}:{}: {feature} holds without a proof", number + 1));
        }
        let missing = proofs(line).filter(|proof| !is_there(proof));
        complaints.extend(missing.map(|proof| format!("{DOCUMENT}:{}: there is no `{proof}`", number + 1)));
    }
    complaints
}

/// What stands in backticks and looks like a path: every second piece.
fn proofs(line: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| word.contains('/') && !word.contains([' ', ':']) && !word.ends_with('/');
    line.split('`').skip(1).step_by(2).filter(is_path)
}

/// A file, or the name of a script.
fn is_there(root: &Path, proof: &str) -> bool {
    root.join(proof).is_file() || root.join(SCRIPTS).join(format!("{proof}.txt")).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_needs_its_proof() {
        let line = |holds, proof| format!("| Ping | C | XEP-0199 | {holds} | {proof} |");
        for (text, complaints) in [
            (line("yes", "`ping/ping`"), 0),
            (line("yes", "`ping/ping`, `ping/gone`"), 1),
            (line("yes", ""), 1),
            (line("no: not yet", ""), 0),
            ("See `ping/gone`, of `urn:xmpp:ping` under `tests/`.".to_owned(), 1),
        ] {
            let found = compare(&text, |proof| proof == "ping/ping");
            assert_eq!(found.len(), complaints, "{text}: {found:?}");
        }
    }
}
