//! Escaped texts: what they look like, and that no hostile one opens, links or calls anything.

use proptest::prelude::*;

use super::*;

#[test]
fn texts_are_escaped_for_their_markup() {
    let check = |markup: Markup, text: &str, expected: &str| assert_eq!(markup.escape(text), expected, "{markup:?}");
    check(Markup::Json, "a\"\n", r#"a\"\n"#);
    check(Markup::Html, "<a b='c'>&", "&lt;a b=&#39;c&#39;&gt;&amp;");
    check(Markup::SlackMrkdwn, "<!channel> & *b*", "&lt;!channel&gt; &amp; *\u{200b}b*\u{200b}");
    check(Markup::SlackMrkdwn, "> q\n>r a>b", "\u{200b}&gt; q\n\u{200b}&gt;r a&gt;b");
    check(Markup::DiscordMarkdown, "@everyone <@1> [a](b) `", "@\u{200b}everyone \\<@\u{200b}1\\> \\[a\\]\\(b\\) \\`");
    check(Markup::TelegramMarkdown, "a_b*c.", r"a\_b\*c.");
    check(Markup::TelegramMarkdownV2, "a.b!", r"a\.b\!");
    check(Markup::TeamsMarkdown, "<at>x</at> - **b**", "<\u{200b}at\\>x<\u{200b}/at\\> \\- \\*\\*b\\*\\*");
    check(Markup::ChatMarkup, "<users/all> _a_", "<\u{200b}users/all> _\u{200b}a_\u{200b}");
    check(Markup::ChatHtml, "<b> & \"", "&lt;b&gt; &amp; \"");
    check(Markup::Post, "@ann #a $B see a.co 1.5", "@\u{200b}ann #\u{200b}a $\u{200b}B see a.\u{200b}co 1.5");
}

#[test]
fn addresses_stay_addresses() {
    let check = |markup: Markup, text: &str, expected: &str| assert_eq!(markup.value(text), expected, "{markup:?}");
    check(Markup::DiscordMarkdown, "https://a.test/b_c*?d=(1)", "https://a.test/b%5Fc%2A?d=%281%29");
    check(Markup::SlackMrkdwn, "https://a.test/?b=1&c=2", "https://a.test/?b=1&amp;c=2");
    check(Markup::DiscordMarkdown, "javascript:x_y", r"javascript:x\_y");
    check(Markup::DiscordMarkdown, "https://a@b.test/_", "https://a@\u{200b}b.test/\\_");
    check(Markup::Post, "https://a.test/", "https://a.\u{200b}test/");
}

/// Texts of the characters that matter, among others.
fn hostile() -> impl Strategy<Value = String> {
    "([-*_~`|>#<@&!:;/.()\\[\\]\\\\a1 \\n]|channel|everyone|users/all|https://a.test/|\\PC){0,40}"
}

/// Every occurrence of one of these is followed by what makes it ordinary.
fn all_broken(text: &str, special: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    characters.iter().enumerate().all(|(at, c)| !special.contains(*c) || characters.get(at + 1) == Some(&BREAK))
}

/// Every occurrence of one of these is behind a backslash that is not itself escaped.
fn all_backslashed(text: &str, special: &str) -> bool {
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if special.contains(c) {
            return false;
        }
    }
    true
}

proptest! {
    #[test]
    fn escaped_texts_open_nothing_and_call_nobody(text in hostile()) {
        let slack = Markup::SlackMrkdwn.value(&text);
        prop_assert!(!slack.contains(['<', '>']) && all_broken(&slack, "*_~`"), "{slack}");
        let discord = Markup::DiscordMarkdown.value(&text);
        if link(&text).is_none() {
            prop_assert!(all_backslashed(&discord, "*_~`|>#-[]()<") && all_broken(&discord, "@"), "{discord}");
        }
        for (markup, special) in [(Markup::TelegramMarkdown, "_*`[]()"), (Markup::TelegramMarkdownV2, "_*[]()~`>#+-=|{}.!")] {
            prop_assert!(all_backslashed(&markup.value(&text), special));
        }
        let teams = Markup::TeamsMarkdown.escape(&text);
        prop_assert!(all_backslashed(&teams, "*_~`[]()#->") && all_broken(&teams, "<"), "{teams}");
        prop_assert!(all_broken(&Markup::ChatMarkup.value(&text), "*_~`<"));
        prop_assert!(!Markup::ChatHtml.value(&text).contains(['<', '>']));
        prop_assert!(all_broken(&Markup::Post.value(&text), "@#$"));
    }

    #[test]
    fn addresses_hold_no_markup(text in "https://[a-z]{1,5}[.]test/[-*_~`()|a1?=&#]{0,20}") {
        let address = link(&text);
        prop_assert!(address.is_none_or(|address| !address.contains(['*', '_', '~', '`', '(', ')', '|', '<', ' '])));
    }
}
