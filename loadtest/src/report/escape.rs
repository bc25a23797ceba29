//! Text inside other languages: whatever a server or a scenario calls its things, it stays text.

use std::fmt;

/// Text inside XML or HTML, in content or in a quoted attribute. What XML cannot hold becomes U+FFFD.
pub(super) struct Xml<'a>(pub(super) &'a str);

/// Text inside a cell of a Markdown table.
pub(super) struct Markdown<'a>(pub(super) &'a str);

/// A field of a CSV file (RFC 4180, 2.6 and 2.7).
pub(super) struct Csv<'a>(pub(super) &'a str);

impl fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\t' | '\n' => f.write_char(c)?,
                '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                c if c.is_control() => f.write_char('\u{fffd}')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Markdown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for c in self.0.chars() {
            match c {
                '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '@' => write!(f, "\\{c}")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '&' => f.write_str("&amp;")?,
                c if c.is_control() => f.write_char(' ')?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Csv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains([',', '"', '\n', '\r']) {
            write!(f, "\"{}\"", self.0.replace('"', "\"\""))
        } else {
            f.write_str(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_read_as_markup_is_text() {
        assert_eq!(
            Xml("<a b='\"'>&\u{1}\u{ffff}\n").to_string(),
            "&lt;a b=&#39;&quot;&#39;&gt;&amp;\u{fffd}\u{fffd}\n"
        );
        assert_eq!(Markdown("a|b\n`c` <d> \\").to_string(), "a\\|b \\`c\\` &lt;d&gt; \\\\");
        assert_eq!(Csv("plain").to_string(), "plain");
        assert_eq!(Csv("a,\"b\"\n").to_string(), "\"a,\"\"b\"\"\n\"");
    }
}
