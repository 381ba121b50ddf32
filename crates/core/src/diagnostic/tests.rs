use proptest::prelude::*;

use super::*;

fn at(text: &str, span: Range<usize>, message: &str) -> Diagnostics {
    let one = Diagnostic {
        severity: Severity::Error,
        path: "a.b".to_owned(),
        span,
        message: message.to_owned(),
        help: Some("do it".to_owned()),
    };
    Diagnostics::new("file.json", text, vec![one])
}

#[test]
fn a_problem_is_drawn_as_rustc_does() {
    let text = "[\n  {\n    \"name\": 5\n  }\n]\n";
    let expected = "error: a string is needed\n --> file.json:3:13\n  |\n3 |     \"name\": 5\n  |             ^ a.b\n  |\n  = help: do it\n\nfile.json: 1 error\n";
    let place = text.find('5').unwrap();
    assert_eq!(at(text, place..place + 1, "a string is needed").to_string(), expected);
}

#[test]
fn the_mark_stands_below_its_place_whatever_precedes_it() {
    for (text, marked) in [
        ("\t\"é\": x", "x"),
        ("\"漢字\": x", "x"),
        ("\u{feff}{x", "x"),
        ("{\r\n\"a\": x\r\n}", "x"),
        ("ab\u{7}x", "x"),
        ("🦀🦀x", "x"),
    ] {
        let start = text.find(marked).unwrap();
        let report = at(text, start..start + 1, "m").to_string();
        let lines: Vec<&str> = report.lines().collect();
        let mark = lines.iter().position(|line| line.contains('^')).unwrap();
        let column = |line: &str, what: char| {
            let before = line.split(what).next().unwrap();
            unicode_width::UnicodeWidthStr::width(before)
        };
        assert_eq!(column(lines[mark - 1], 'x'), column(lines[mark], '^'), "{report}");
    }
}

#[test]
fn lines_and_columns_count_from_one_in_characters() {
    let text = "a\nüx\r\n\nz";
    for (offset, line, column) in
        [(0, 1, 1), (1, 1, 2), (2, 2, 1), (4, 2, 2), (7, 3, 1), (8, 4, 1), (9, 4, 2), (99, 4, 2)]
    {
        let located = at(text, offset..offset, "m").located();
        assert_eq!((located[0].line, located[0].column), (line, column), "{offset}");
    }
}

#[test]
fn spans_are_bent_onto_characters_of_the_text() {
    let list = at("aüb", 2..2, "m");
    assert_eq!(list.iter().next().unwrap().span, 1..3);
    #[expect(clippy::reversed_empty_ranges, reason = "that such a span does no harm is the point")]
    let reversed = at("abc", 3..1, "m");
    assert_eq!(reversed.iter().next().unwrap().span, 3..3);
    assert_eq!(at("abc", 70..80, "m").iter().next().unwrap().span, 3..3);
}

#[test]
fn long_lines_are_cut_around_the_marked_place() {
    let text = format!("{}HERE{}", "a".repeat(1_000_000), "b".repeat(1_000_000));
    let report = at(&text, 1_000_000..1_000_004, &"m".repeat(100_000)).to_string();
    assert!(report.contains("file.json:1:1000001"), "the column is that of the file");
    assert!(report.contains("aaaHEREbbb"));
    assert!(report.lines().all(|line| line.chars().count() < 700));
}

#[test]
fn a_span_of_many_lines_is_marked_on_its_first_one() {
    let report = at("[\n{\n}\n]", 2..5, "m").to_string();
    assert!(report.contains("2 | {\n  | ^ a.b\n"), "{report}");
}

#[test]
fn a_problem_of_the_whole_file_quotes_nothing() {
    let report = Diagnostics::of_file("file.json", "it cannot be read", "check its mode");
    assert!(report.has_errors());
    let expected = "error: it cannot be read\n--> file.json\n = help: check its mode\n\nfile.json: 1 error\n";
    assert_eq!(report.to_string(), expected);
}

#[test]
fn problems_are_ordered_counted_and_summed_up() {
    let make = |severity, start: usize| Diagnostic {
        severity,
        path: String::new(),
        span: start..start + 1,
        message: format!("m{start}"),
        help: None,
    };
    let list = vec![make(Severity::Warning, 4), make(Severity::StageError, 2), make(Severity::Warning, 0)];
    let all = Diagnostics::new("f", "abcdef", list);
    let order: Vec<&str> = all.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(order, ["m0", "m2", "m4"]);
    assert_eq!((all.len(), all.count(Severity::Warning), all.has_errors()), (3, 2, true));
    assert!(all.to_string().ends_with("f: 1 stage error, 2 warnings\n"));
    let none = Diagnostics::new("f", "abc", Vec::new());
    assert!(none.is_empty() && !none.has_errors());
    assert_eq!(none.to_string(), "f: no problems\n");
    assert!(!Diagnostics::new("f", "abc", vec![make(Severity::Warning, 1)]).has_errors());
}

#[test]
fn only_so_many_problems_are_drawn() {
    let one = Diagnostic {
        severity: Severity::Warning,
        path: String::new(),
        span: 0..1,
        message: "m".to_owned(),
        help: None,
    };
    let all = Diagnostics::new("f", "abc", vec![one; 1500]);
    let report = all.to_string();
    assert_eq!(report.matches("warning: m").count(), 1000);
    assert!(report.ends_with("… and 500 more\n\nf: 1500 warnings\n"));
    assert_eq!(all.located().len(), 1500);
}

#[test]
fn machines_get_an_array_of_places() {
    let json = serde_json::to_value(at("[\n5]", 2..3, "m")).unwrap();
    let expected = serde_json::json!([{
        "severity": "error", "file": "file.json", "line": 2, "column": 1, "path": "a.b", "message": "m",
        "help": "do it"
    }]);
    assert_eq!(json, expected);
    assert_eq!(serde_json::to_value(Severity::StageError).unwrap(), "stage-error");
}

#[test]
fn colour_is_for_terminals_only() {
    let list = at("[5]", 1..2, "m");
    assert!(list.render(Colour::Ansi).contains("\u{1b}["));
    assert!(!list.render(Colour::Plain).contains('\u{1b}'));
}

proptest! {
    #[test]
    fn any_text_and_any_span_can_be_drawn(text in any::<String>(), start: usize, length in 0..100_usize, message: String) {
        for start in [start, start % (text.len() + 1)] {
            let list = at(&text, start..start.saturating_add(length), &message);
            let report = list.render(Colour::Plain);
            prop_assert!(report.contains("file.json"));
            prop_assert_eq!(list.located().len(), 1);
        }
    }

    #[test]
    fn control_characters_of_the_file_do_not_reach_the_terminal(text in "[\u{0}-\u{1f}\u{7f}-\u{9f}a]{1,20}", at_byte: usize) {
        let report = at(&text, at_byte % text.len()..text.len(), &text).to_string();
        prop_assert!(!report.chars().any(|c| c.is_control() && c != '\n'), "{report:?}");
    }
}
