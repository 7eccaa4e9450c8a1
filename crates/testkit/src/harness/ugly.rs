//! Hostile content (`R25`): one corpus for every CRM.

use casebridge::cases::Capabilities;

/// Texts that are hard to copy, such as people send (`R25`).
pub const UGLY: [&str; 34] = [
    "plain",
    "two\nlines\n\nand a third",
    "  indented,\n\ttabbed",
    "emoji \u{1f600}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467}, combining e\u{301}, flags \u{1f1e9}\u{1f1ea}",
    "right to left: \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{202e}override\u{202c}",
    "\u{fffd} and \u{feff}byte order mark",
    "NUL \0 bell \u{7} escape \u{1b}[31m delete \u{7f}",
    "{code}rm -rf /{code} {color:red}red{color} {noformat}*x*{noformat} {{mono}}",
    "mentions [~admin] [~accountid:5b10] @admin @here",
    "links [here|https://example.com] [^file.txt] [#anchor] [SUP-12] [mailto:a@example.com]",
    "an address https://example.com/a_b/-/c?d=e&f=~g*h(i)_j_ and more",
    "!image.png! !https://example.com/x.png|thumbnail! wow!",
    "h1. Heading\nbq. quote\n* item\n** item\n# number\n- dash\n|| head || cell |\n|cell|\n----\n--- x",
    "*strong* _emphasis_ -deleted- +inserted+ ^up^ ~down~ ??cited?? (*a*) \"_b_\" a*b*c",
    "# Heading\n\n**bold** `code` [link](https://example.com) ![img](x.png)\n> quote\n```\ncode\n```\n1. one",
    "<script>alert(1)</script> <b>bold</b> <!-- --> &lt;b&gt; &amp;amp; &copy; &#60; &nbsp;",
    "C:\\temp\\new \\\\server\\share \\[regex\\]\\{1,2\\}\\* \\\\ \\n \\",
    "fine :) :-( ;) :D :P (y) (n) (i) (/) (x) (!) (+) (-) (?) (on) (off) (*) (*r)",
    "[Google Comment 3 by Jane Roe]\nquoted",
    "[Company Comment 7 by Jane Roe (2/3)]",
    "-- a -- b --- c ---- d",
    "'; DROP TABLE cases; -- ${jndi:ldap://example.com} {{7*7}} %s %n $(id) `id`",
    "=cmd|' /C calc'!A0 \",;\t\"",
    "https://example.com",
    "a\\",
    "\\",
    "*",
    "[",
    "{",
    "code:\n  {\n    \"a\": [1, 2],\n    \"b\": \"\\u0041\"\n  }",
    "gcloud compute instances list --project=my-project --filter='name~^x-.*$' | grep -v '^#'",
    "[code]<img src=x onerror=alert(1)>[/code] [CODE]<b>bold</b>[/CODE] [code]<i>without an end",
    "@[6816f79cc0a8016401c5a33be04be441:admin] and @[Jane Roe]",
    "From: a\r\nSubject: b\r\n\r\n.\r\nDATA",
];

/// Returns a text as the core changes it before it writes it to a CRM that cannot store all characters.
pub fn holdable(text: &str, capabilities: &Capabilities) -> String {
    if capabilities.control_characters {
        return text.to_owned();
    }
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\u{7f}' => '\u{2421}',
            '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap(),
            _ => c,
        })
        .collect()
}
