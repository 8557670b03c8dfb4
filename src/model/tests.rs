use super::*;
use crate::check::Violation;

/// The examples of models and aliases in `config.example.toml`.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({
        "aliases": { "search": "voyage-4" },
        "voyage-5": {
            "kind": "text",
            "dimensions": [1024, 256, 512, 2048],
            "dtypes": ["float", "int8", "uint8", "binary", "ubinary"],
            "context_tokens": 32000,
            "query_tokens": 0,
            "max_inputs": 1000,
            "max_request_tokens": 320_000,
            "rpm": 2000,
            "tpm": 8_000_000,
            "price": 0.06,
            "pixel_price": 0.0,
            "lifecycle": "active",
            "retirement_date": "",
            "replacement": "",
        },
    })
}

fn config(text: &str) -> Config {
    toml::from_str(text).unwrap()
}

/// The violations of a configuration: the key and what it must be.
fn violations(text: &str) -> Vec<(String, String)> {
    let first = |violation: Violation| (violation.keys[0].clone(), violation.requirement);
    config(text).validate().into_iter().map(first).collect()
}

/// The key of the only violation.
fn faulty(text: &str) -> String {
    let found = violations(text);
    let [(key, _)] = &found[..] else { panic!("expected one violation, not {found:?}") };
    key.clone()
}

#[test]
fn every_model_of_the_catalogue_is_plausible() {
    for model in CATALOGUE {
        assert!(is_name(model.name), "{model:?}");
        assert_eq!(CATALOGUE.iter().filter(|other| other.name == model.name).count(), 1);
        assert_eq!(model.kind == Kind::Rerank, model.dimensions.is_empty(), "{model:?}");
        assert_eq!(model.kind == Kind::Rerank, model.dtypes.is_empty(), "{model:?}");
        assert_eq!(model.kind == Kind::Rerank, model.query_tokens > 0, "{model:?}");
        assert!(model.query_tokens < model.context_tokens, "{model:?}");
        assert!(model.context_tokens < model.max_request_tokens, "{model:?}");
        assert!(model.price > 0.0, "{model:?}");
        assert_eq!(model.kind == Kind::Multimodal, model.pixel_price > 0.0, "{model:?}");
        if !model.replacement.is_empty() {
            let replacement = find_kind(model.replacement, model.kind).unwrap();
            assert_eq!(replacement.lifecycle, Lifecycle::Active, "{model:?}");
            assert_eq!(model.lifecycle, Lifecycle::Legacy, "{model:?}");
        }
    }
}

#[test]
fn pixels_are_priced_beside_tokens() {
    let model = find("voyage-multimodal-3.5").unwrap();
    let dollars = model.cost(1_000_000, 2_000_000_000);
    assert!((dollars - 1.32).abs() < 1e-9, "{dollars}");
}

#[test]
fn a_table_overrides_only_its_keys() {
    let text = "[voyage-4]\nprice = 0.05\nmax_request_tokens = 200_000\n";
    let catalogue = config(text).catalogue();
    let (own, listed) = (catalogue.find("voyage-4").unwrap(), find("voyage-4").unwrap());
    assert_eq!(*own, Model { price: 0.05, max_request_tokens: 200_000, ..*listed });
    let names = |models: Vec<&'static Model>| -> Vec<_> {
        models.into_iter().map(|model| model.name).collect()
    };
    assert_eq!(names(catalogue.models().collect()), names(CATALOGUE.iter().collect()));
}

#[test]
fn a_table_adds_a_model() {
    let text = "[voyage-5]\nkind = \"text\"\ndimensions = [1024, 4096]\n\
                [rerank-4]\nkind = \"rerank\"\nprice = 0.01\n";
    assert_eq!(violations(text), []);
    let catalogue = config(text).catalogue();
    let model = catalogue.resolve("voyage-5").listed_as(Kind::Text).unwrap();
    assert_eq!((model.default_dimension(), model.dtypes), (Some(1024), &[Dtype::Float][..]));
    assert_eq!((model.context_tokens, model.max_inputs, model.rpm), (32_000, 1_000, 2_000));
    let reranker = catalogue.resolve("rerank-4").listed_as(Kind::Rerank).unwrap();
    assert_eq!((reranker.query_tokens, reranker.max_request_tokens), (8_000, 600_000));
    assert_eq!((reranker.dimensions, reranker.dtypes), (&[][..], &[][..]));
    let added = catalogue.models().skip(CATALOGUE.len()).map(|model| model.name);
    assert_eq!(added.collect::<Vec<_>>(), ["rerank-4", "voyage-5"]);
}

#[test]
fn an_alias_is_the_model_it_names() {
    let text = "[aliases]\nsearch = \"voyage-4\"\nfind = \"voyage-4\"\nnext = \"voyage-6\"\n";
    assert_eq!(violations(text), []);
    let catalogue = config(text).catalogue();
    let model = catalogue.resolve("search");
    assert_eq!((model.to_string().as_str(), model.listed()), ("voyage-4", find("voyage-4")));
    assert_eq!(model, catalogue.resolve("voyage-4"));
    assert_eq!(catalogue.aliases_of("voyage-4"), ["find", "search"]);
    // Names that are not listed are sent to Voyage, by an alias as well.
    let unlisted = catalogue.resolve("next");
    assert_eq!((unlisted.to_string().as_str(), unlisted.listed()), ("voyage-6", None));
}

#[test]
fn aliases_are_names_of_models_and_of_nothing_else() {
    for text in [
        "[aliases]\na = \"b\"\nb = \"voyage-4\"",
        "[aliases]\na = \"a\"",
        "[aliases]\na = \"\"",
        "[aliases]\na = \"voyage 4\"",
    ] {
        assert_eq!(faulty(text), "aliases.\"a\"", "{text}");
    }
    assert_eq!(faulty("[aliases]\nvoyage-4 = \"voyage-4-lite\""), "aliases.\"voyage-4\"");
    assert_eq!(faulty("[aliases]\n\"\" = \"voyage-4\""), "aliases.\"\"");
    let shadows =
        "[voyage-5]\nkind = \"text\"\ndimensions = [8]\n[aliases]\nvoyage-5 = \"voyage-4\"";
    assert_eq!(faulty(shadows), "aliases.\"voyage-5\"");
}

#[test]
fn every_violation_is_reported() {
    let text = "[\"\"]\nkind = \"rerank\"\n[a]\ndimensions = [1]\n[b]\nkind = \"text\"\n\
                [c]\nkind = \"rerank\"\ndimensions = [4]\n[voyage-4]\nquery_tokens = 1\nrpm = 0\n\
                max_inputs = 1001\nprice = -1\nretirement_date = \"2027-01-31\"\nreplacement = \"a b\"\n";
    let keys: Vec<_> = violations(text).into_iter().map(|(key, _)| key).collect();
    let own = ["query_tokens", "max_inputs", "retirement_date", "replacement", "rpm", "price"];
    let wanted = ["\"\"", "\"a\"", "\"b\".dimensions", "\"c\".dimensions"];
    let wanted = wanted.map(str::to_owned).into_iter();
    let wanted = wanted.chain(own.map(|key| format!("\"voyage-4\".{key}")));
    assert_eq!(keys, wanted.collect::<Vec<_>>());
}

#[test]
fn dimensions_and_dtypes_fit_each_other() {
    let with = |keys: &str| violations(&format!("[a]\nkind = \"text\"\n{keys}\n")).len();
    assert_eq!(with("dimensions = [1024, 256]"), 0);
    assert_eq!(with("dimensions = [1024, 1024]"), 1);
    assert_eq!(with("dimensions = [16384]"), 0);
    assert_eq!(with("dimensions = [16385]"), 1);
    assert_eq!(with("dimensions = [0]"), 1);
    assert_eq!(with("dimensions = [12]\ndtypes = [\"float\"]"), 0);
    assert_eq!(with("dimensions = [12]\ndtypes = [\"binary\"]"), 1);
    assert_eq!(with("dimensions = [8]\ndtypes = []"), 1);
    assert_eq!(with("dimensions = [8]\ndtypes = [\"int8\", \"int8\"]"), 1);
}

#[test]
fn a_retirement_date_is_a_date() {
    let with = |date: &str| {
        let text = format!("[voyage-2]\nlifecycle = \"deprecated\"\nretirement_date = {date:?}\n");
        violations(&text).len()
    };
    assert_eq!((with("2027-01-31"), with("2028-02-29")), (0, 0));
    assert_eq!(with(""), 0, "none is announced");
    for date in ["soon", "2027-02-30", "2027-1-31", "2027-01-31T10:00:00Z", "10:00:00"] {
        assert_eq!(with(date), 1, "{date}");
    }
}
