//! Templates: the language, its places in HTML, its limits, and hostile sources and values.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use proptest::prelude::*;
use sealwright_mail::template::{
    Budget, DEPTH_MAX, Kind, MADE_BYTES_MAX, OUTPUT_BYTES_MAX, Template, TemplateError, Value,
};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(bool) => Value::Bool(*bool),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().unwrap()),
        },
        serde_json::Value::String(text) => Value::from(text.as_str()),
        serde_json::Value::Array(list) => Value::List(list.iter().map(value).collect()),
        serde_json::Value::Object(map) => Value::Map(
            map.iter()
                .map(|(name, field)| (name.clone(), value(field)))
                .collect(),
        ),
    }
}

fn data(json: &str) -> Value {
    value(&serde_json::from_str(json).unwrap())
}

fn rendered(source: &str, kind: Kind, data: &Value) -> Result<String, TemplateError> {
    Template::parse(source, kind)?.render(data, &mut Budget::default())
}

/// The shop's values.
const SHOP: &str = r#"{
    "name": "Ada <3", "empty": "", "zero": 0, "no": false, "nothing": null, "price": 1234.5, "float": 1.5,
    "day": "2026-11-25", "url": "https://a.example/?a=1&b=2", "bad": "javascript:alert(1)",
    "user": {"name": "Ada", "address": {"city": "London"}, "tags": ["x", "y"]},
    "items": [{"name": "Tea", "count": 2, "parts": ["leaf", "bag"]}, {"name": "Cup", "count": 1, "parts": []}],
    "list": ["a", "b", "c"], "none": [], "map": {"a": 1, "b": 2}, "a b": "spaced"
}"#;

/// What Handlebars writes as we do, octet for octet: `tools/cross-checks.sh` holds each against it.
const COMMON: &[&str] = &[
    "Hello {{name}}!",
    "Hello {{{name}}} and {{&name}}",
    "{{user.name}} of {{user.address.city}}, {{this.user.name}}, {{./name}}",
    "{{missing}}|{{missing.deep}}|{{nothing}}|{{empty}}|{{zero}}|{{no}}|{{float}}",
    "{{[a b]}} {{list.[1]}}",
    "{{#if name}}yes{{else}}no{{/if}}{{#if empty}}yes{{else}}no{{/if}}{{#if zero}}yes{{else}}no{{/if}}",
    "{{#if none}}yes{{else}}no{{/if}}{{#if nothing}}a{{/if}}{{#if map}}b{{/if}}{{#if no}}c{{else if name}}d{{else}}e{{/if}}",
    "{{#unless no}}shown{{/unless}}{{#unless name}}hidden{{else}}other{{/unless}}",
    "{{#each list}}{{@index}}:{{this}}{{#unless @last}}, {{/unless}}{{/each}}",
    "{{#each items}}{{@index}} {{name}} of {{../name}}{{#if @first}} first{{/if}};{{/each}}",
    "{{#each items}}{{name}}({{#each parts}}{{this}} in {{../name}} for {{../../name}} {{/each}}){{/each}}",
    "{{#each map}}{{@key}}={{this}};{{/each}}{{#each none}}x{{else}}nothing here{{/each}}",
    "{{#with user}}{{name}} {{address.city}} {{../name}} {{@root.name}}{{/with}}{{#with nothing}}x{{else}}y{{/with}}",
    "{{! hidden }}a{{!-- hidden }} too --}}b",
    "{{#each list}}\n  {{this}}\n{{/each}}\nend\n",
    "a\n  {{#if name}}  \n  b\n  {{else}}\n  c\n  {{/if}}\nd\n{{! gone }}\ne",
    "x {{~#if name~}} y {{~/if~}} z {{~name~}} \n w {{~{name}~}} v",
    "\\{{name}} stays",
    "<a href=\"/x\" title=\"{{name}}\">{{user.name}}</a> }} }",
    "{{#if name}}{{#if no}}1{{else}}2{{/if}}{{else}}3{{/if}}",
    "{{#each user.tags}}{{#if @last}}{{this}}.{{else}}{{this}}, {{/if}}{{/each}}",
    "&{{name}}& {{#with user.address}}{{city}}{{/with}}",
    "\r\n{{#if name}}\r\nwindows\r\n{{/if}}\r\nlines",
];

/// Every one renders; what came of it is kept for Handlebars to judge where the cross-checks ask for it.
#[test]
fn the_common_part_renders_and_is_left_for_handlebars() {
    let shop = data(SHOP);
    let cases: Vec<_> = COMMON
        .iter()
        .map(|source| {
            let ours =
                rendered(source, Kind::Html, &shop).unwrap_or_else(|error| panic!("{source}: {error}"));
            serde_json::json!({ "source": source, "ours": ours })
        })
        .collect();
    let shop: serde_json::Value = serde_json::from_str(SHOP).unwrap();
    assert_eq!(cases.len(), COMMON.len());
    if let Some(folder) = std::env::var_os("CROSS_CHECK_DIR").map(PathBuf::from) {
        std::fs::create_dir_all(&folder).unwrap();
        let left = serde_json::json!({ "data": shop, "cases": cases });
        std::fs::write(folder.join("templates.json"), left.to_string()).unwrap();
    }
}

#[test]
fn filters_and_functions_are_ours() {
    let shop = data(SHOP);
    for (source, written) in [
        ("{{missing|default:\"friend\"}}", "friend"),
        ("{{name | default : 'x' | uppercase}}", "ADA <3"),
        ("{{default empty user.name}}", "Ada"),
        ("{{default zero 5}}", "0"),
        ("{{formatDate day}}", "November 25, 2026"),
        ("{{day|formatDate:\"ddd D MMM\"}}", "Wed 25 Nov"),
        (
            "{{formatCurrency price \"EUR\"}} {{price|formatCurrency:\"EUR\":\"de\"}}",
            "€1,234.50 1.234,50\u{a0}€",
        ),
        ("{{formatNumber price 1}}", "1,234.5"),
        ("{{uppercase (default missing \"x\")}}", "X"),
        (
            "{{#if (and name (not no))}}1{{/if}}{{#if (gt items.0.count 1)}}2{{/if}}{{#if (eq user.name \"Ada\")}}3{{/if}}",
            "123",
        ),
        (
            "{{#if (lte zero 0.5)}}1{{/if}}{{#if (ne name nothing)}}2{{/if}}{{#if (or no empty)}}3{{/if}}",
            "12",
        ),
        (
            "{{count items}} {{join list}} {{join list \"/\"}}",
            "2 a, b, c a/b/c",
        ),
        ("{{lowercase missing}}{{formatDate missing}}", ""),
    ] {
        assert_eq!(
            rendered(source, Kind::Text, &shop).as_deref(),
            Ok(written),
            "{source}"
        );
    }
}

#[test]
fn values_are_written_for_their_place() {
    let shop = data(SHOP);
    for (source, written) in [
        (
            "<a href=\"{{url}}\">",
            "<a href=\"https://a.example/?a=1&amp;b=2\">",
        ),
        ("<a href='{{bad}}'>", "<a href='#'>"),
        (
            "<a href=\"https://a.example/{{name}}?q={{url}}\">",
            "<a href=\"https://a.example/Ada%20%3C3?q=https%3A%2F%2Fa.example%2F%3Fa%3D1%26b%3D2\">",
        ),
        (
            "<a href=\"{{{url}}}\">{{{name}}}",
            "<a href=\"https://a.example/?a=1&amp;b=2\">Ada <3",
        ),
        (
            "<a href=\"{{empty}}{{bad}}\">",
            "<a href=\"javascript%3Aalert(1)\">",
        ),
        (
            "<a href=\"{{url}}&c={{name}}\">",
            "<a href=\"https://a.example/?a=1&amp;b=2&c=Ada%20%3C3\">",
        ),
        (
            "<td style=\"color:{{bad}}\" alt=\"{{name}}\">",
            "<td style=\"color:\" alt=\"Ada &lt;3\">",
        ),
        (
            "<style>a{width:{{zero}}px}</style>{{name}}",
            "<style>a{width:0px}</style>Ada &lt;3",
        ),
        (
            "<title>{{{name}}}</title><!-- {{{name}}} -->{{{name}}}",
            "<title>Ada &lt;3</title><!-- Ada &lt;3 -->Ada <3",
        ),
        (
            "<!--[if mso]><td width=\"{{zero}}\"><![endif]-->{{{name}}}",
            "<!--[if mso]><td width=\"0\"><![endif]-->Ada <3",
        ),
        (
            "<!--[if !mso]><!--><a href=\"{{bad}}\"><!--<![endif]-->",
            "<!--[if !mso]><!--><a href=\"#\"><!--<![endif]-->",
        ),
        ("2 < 3 {{name}} <br/>{{name}}", "2 < 3 Ada &lt;3 <br/>Ada &lt;3"),
        (
            "<a {{#if name}}class=\"a\"{{/if}} href=\"{{#if no}}/a{{else}}/b?{{/if}}{{url}}\">",
            "<a class=\"a\" href=\"/b?https%3A%2F%2Fa.example%2F%3Fa%3D1%26b%3D2\">",
        ),
    ] {
        assert_eq!(
            rendered(source, Kind::Html, &shop).as_deref(),
            Ok(written),
            "{source}"
        );
    }
    let subject = data("{\"name\": \"a\\r\\nBcc: b\\u2028c\"}");
    assert_eq!(
        rendered("Hi\n{{name}}", Kind::Subject, &subject).unwrap(),
        "Hi a  Bcc: b c"
    );
}

#[test]
fn what_is_refused_is_told_by_its_place() {
    for (source, place, reason) in [
        ("a\n  {{#if a}}", "line 2, column 3", "not closed"),
        ("{{#if a}}{{/each}}", "line 1, column 10", "#if of line 1"),
        ("{{/if}}", "line 1, column 1", "not opened"),
        ("ü{{a", "line 1, column 2", "end it with }}"),
        ("{{!-- a }}", "line 1, column 1", "end it with --}}"),
        ("{{}}", "line 1, column 1", "missing"),
        ("{{else}}", "line 1, column 1", "outside"),
        ("{{#if a}}{{else}}{{else}}{{/if}}", "line 1, column 18", "already"),
        ("{{#list a}}{{/list}}", "line 1, column 1", "#each"),
        ("{{frobnicate a}}", "line 1, column 1", "formatDate"),
        ("{{uppercase a b}}", "line 1, column 1", "1 to 1 values"),
        ("{{> partial}}", "line 1, column 1", "include"),
        ("{{a|}}", "line 1, column 1", "filter"),
        ("{{(a}}", "line 1, column 1", "parenthesis"),
        ("{{a \"b}}", "line 1, column 1", "quote"),
        ("{{a..b}}", "line 1, column 1", "no name"),
        ("{{constructor.[x}}", "line 1, column 1", "no name"),
        ("<a href={{a}}>", "line 1, column 9", "quotes"),
        ("<{{a}}>", "line 1, column 2", "name of a tag"),
        ("<a {{a}}>", "line 1, column 4", "name of a tag"),
        ("<a onclick=\"{{a}}\">", "line 1, column 13", "scripts"),
        ("<script>{{a}}</script>", "line 1, column 9", "scripts"),
        ("<a href=\"javascript:{{a}}\">", "line 1, column 21", "scheme"),
        ("<a href=\"{{a}}:{{b}}\">", "line 1, column 16", "scheme"),
        (
            "{{#if a}}<b title=\"{{/if}}",
            "line 1, column 1",
            "different places",
        ),
        ("{{#each a}}<b {{/each}}", "line 1, column 1", "different places"),
    ] {
        let error = Template::parse(source, Kind::Html).expect_err(source).to_string();
        assert!(
            error.starts_with(place) && error.contains(reason),
            "{source}: {error}"
        );
    }
    let shop = data(SHOP);
    for (source, reason) in [
        ("{{user}}", "one of its fields"),
        ("{{list}}", "#each"),
        ("{{#each name}}{{/each}}", "this is text"),
        ("{{name|formatDate}}", "2026-11-25"),
        ("{{formatCurrency name \"EUR\"}}", "number"),
    ] {
        let error = rendered(source, Kind::Text, &shop).expect_err(source).to_string();
        assert!(error.contains(reason), "{source}: {error}");
    }
}

#[test]
fn names_are_those_that_have_to_be_given() {
    let source = "{{a.b}}{{#each items}}{{c}}{{../d}}{{@root.e}}{{@index}}{{else}}{{f}}{{/each}}{{#if (eq g 1)}}{{h|default:i}}{{/if}}";
    let template = Template::parse(source, Kind::Text).unwrap();
    assert_eq!(
        template.names().collect::<Vec<_>>(),
        ["a", "d", "e", "f", "g", "h", "i", "items"]
    );
}

/// Sources that have stopped, filled or crashed engines of this language.
#[test]
fn hostile_sources_end_within_their_limits() {
    let many = Value::List(vec![Value::from("x"); 2000]);
    let large = Value::Text("y".repeat(200_000));
    let data = Value::Map([("l".to_owned(), many), ("t".to_owned(), large)].into());
    let nested = |depth: usize| "{{#each @root.l}}".repeat(depth) + "x" + &"{{/each}}".repeat(depth);
    let chain = |word: &str, count: usize| {
        format!(
            "{{{{{}t{}}}}}",
            format!("({word} ").repeat(count),
            ")".repeat(count)
        )
    };
    for source in [
        nested(3),
        nested(DEPTH_MAX),
        nested(DEPTH_MAX + 1),
        "{{#if t}}".repeat(100_000),
        "{{else}}".repeat(1000),
        "{{#if t}}{{else if t}}".repeat(200),
        "{{".repeat(100_000),
        "{{{".repeat(50_000) + &"}}}".repeat(50_000),
        "{{!--".repeat(100_000),
        "{{(".repeat(300_000),
        chain("uppercase", 40),
        chain("uppercase", 10_000),
        "{{#each l}}{{uppercase @root.t}}{{/each}}".to_owned(),
        "{{#each l}}{{#if (eq @root.t @root.t)}}{{/if}}{{/each}}".repeat(10),
        "{{#each l}}{{@root.t}}{{/each}}".to_owned(),
        "{{a}}".repeat(20_000),
        "{{../../../../../../a}}{{constructor.constructor}}{{__proto__}}".to_owned(),
        "{{#*inline \"x\"}}{{> x}}{{/inline}}{{> x}}".to_owned(),
    ] {
        for kind in [Kind::Html, Kind::Text, Kind::Subject] {
            match rendered(&source, kind, &data) {
                Ok(text) => assert!(text.len() <= OUTPUT_BYTES_MAX),
                Err(error) => assert!(!error.reason.is_empty()),
            }
        }
    }
    let made = rendered(
        "{{#each l}}{{#if (uppercase @root.t)}}{{/if}}{{/each}}",
        Kind::Text,
        &data,
    );
    let made = made.unwrap_err().to_string();
    assert!(
        made.contains(&MADE_BYTES_MAX.to_string()) || made.contains("steps"),
        "{made}"
    );
}

fn sources() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{",
        "}}",
        "{{{",
        "}}}",
        "{{a}}",
        "{{{b}}}",
        "{{#if a}}",
        "{{/if}}",
        "{{#each l}}",
        "{{/each}}",
        "{{else}}",
        "{{#with m}}",
        "{{/with}}",
        "{{~a~}}",
        "\\",
        "\n",
        "  ",
        "<a href=\"",
        "'",
        "\"",
        ">",
        "<",
        "</",
        "style",
        "=",
        "<style>",
        "</style>",
        "<title>",
        "<!--",
        "-->",
        "[if",
        "/",
        "?",
        ":",
        "x",
        "é",
        "{{a|default:\"ü\"}}",
        "{{uppercase a}}",
        "{{../a}}",
        "{{@index}}",
        "(",
        ")",
        "|",
        "a",
        "{{! x }}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_limits_hold(source in sources(), text in any::<String>()) {
        let item = Value::Map([("a".to_owned(), Value::from(text.as_str()))].into());
        let fields: BTreeMap<String, Value> = [
            ("a".to_owned(), Value::from(text.as_str())),
            ("l".to_owned(), Value::List(vec![item.clone(), item.clone()])),
            ("m".to_owned(), item),
        ].into();
        for kind in [Kind::Html, Kind::Text, Kind::Subject] {
            if let Ok(text) = rendered(&source, kind, &Value::Map(fields.clone())) {
                prop_assert!(kind != Kind::Subject || !text.contains(['\r', '\n']));
            }
        }
    }

    /// Whatever a value is, it brings no tag and no attribute: the marks of HTML are those of the template.
    #[test]
    fn values_bring_no_marks(source in sources(), text in "[<>\"'`a:/&=;#? \n-]{0,12}") {
        let source = source.replace("{{{", "{{").replace("}}}", "}}").replace("~", "");
        let marks = |text: &str| -> String {
            let of = |value: &str| {
                let item = Value::Map([("a".to_owned(), Value::from(value))].into());
                Value::Map([("a".to_owned(), Value::from(value)), ("l".to_owned(), Value::List(vec![item.clone()])), ("m".to_owned(), item)].into())
            };
            let written = rendered(&source, Kind::Html, &of(text)).unwrap_or_default();
            written.chars().filter(|c| "<>\"'`".contains(*c)).collect()
        };
        prop_assert_eq!(marks(&format!("z{text}")), marks("z"));
    }
}
