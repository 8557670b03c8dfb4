//! The tables of `docs/errors.md` are generated: the columns from the error table, the texts from the comments of `proto/`.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
};

use prost::Message as _;
use prost_types::FileDescriptorSet;

use super::{rows::rows, *};
use crate::grpc::v1;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/errors.md");

/// The number of the first reason that Voyage causes.
const FIRST_OF_VOYAGE: i32 = 20;

/// The columns of a reason that depend on the errors with this reason.
#[derive(Default)]
struct Columns {
    codes: Vec<&'static str>,
    domains: BTreeSet<String>,
    faults: Vec<&'static str>,
    retries: Vec<&'static str>,
}

fn add<T: PartialEq>(values: &mut Vec<T>, value: T) {
    if !values.contains(&value) {
        values.push(value);
    }
}

/// The columns by the reasons that the gateway sends.
fn columns() -> BTreeMap<&'static str, Columns> {
    let mut table = BTreeMap::<_, Columns>::new();
    for row in rows() {
        let line = table.entry(row.error.row().reason).or_default();
        add(&mut line.codes, code_name(code(&row.error)));
        let info = status(&row.error, "the-id").get_details_error_info().unwrap();
        line.domains.insert(info.domain);
        for ample_time in [false, true] {
            add(&mut line.faults, row.error.blame(ample_time).as_str());
        }
        let delay = RetryAdvice::of(&row.error).delay();
        add(&mut line.retries, if delay.is_some() { "yes" } else { "no" });
    }
    table
}

/// Every reason of `proto/` but UNSPECIFIED.
fn reasons() -> Vec<ErrorReason> {
    (1..1000).filter_map(|number| ErrorReason::try_from(number).ok()).collect()
}

fn name_of(reason: ErrorReason) -> &'static str {
    reason.as_str_name().strip_prefix("ERROR_REASON_").unwrap()
}

/// The comments of `ErrorReason` by its numbers, each in one line.
fn comments() -> BTreeMap<i32, String> {
    let files = FileDescriptorSet::decode(v1::FILE_DESCRIPTOR_SET).unwrap().file;
    let mut comments = BTreeMap::new();
    for file in files {
        let found = file.enum_type.iter().position(|kind| kind.name() == "ErrorReason");
        let Some(position) = found else { continue };
        for location in &file.source_code_info.as_ref().unwrap().location {
            // 5 is `enum_type` of a file, 2 is `value` of an enum (descriptor.proto).
            let [5, kind, 2, value] = *location.path else { continue };
            if usize::try_from(kind).unwrap() == position {
                let value = &file.enum_type[position].value[usize::try_from(value).unwrap()];
                let lines = location.leading_comments().lines().map(str::trim);
                comments.insert(value.number(), lines.collect::<Vec<_>>().join(" "));
            }
        }
    }
    comments
}

/// Renders the three tables: the gateway's reasons, Voyage's, and those that no version sends yet.
fn tables() -> [String; 3] {
    let head = "| Reason | Code | Domain | Fault | Retry | What happened, and what to do |\n\
        |---|---|---|---|---|---|\n";
    let later = "| Reason | Code | What will have happened |\n|---|---|---|\n";
    let mut tables = [head, head, later].map(str::to_owned);
    let (columns, comments) = (columns(), comments());
    for reason in reasons() {
        let (name, text) = (name_of(reason), &comments[&(reason as i32)]);
        let Some(line) = columns.get(name) else {
            let code = code_name(code_of(reason));
            tables[2].extend(["| `", name, "` | ", code, " | ", text, " |\n"]);
            continue;
        };
        let codes = line.codes.join(", ");
        let domains = Vec::from_iter(line.domains.clone()).join(", ");
        let (faults, retries) = (line.faults.join(", "), line.retries.join(", "));
        let table = usize::from(reason as i32 >= FIRST_OF_VOYAGE);
        let cells = [&format!("`{name}`"), &codes, &domains, &faults, &retries, text];
        tables[table].extend(["| ", &cells.map(String::as_str).join(" | "), " |\n"]);
    }
    tables
}

/// Returns the page with its tables, in order, replaced by these.
fn with_tables(page: &str, tables: [String; 3]) -> String {
    let mut tables = tables.into_iter();
    let mut in_table = false;
    let mut result = String::new();
    for line in page.lines() {
        let is_row = line.starts_with('|');
        if is_row && !in_table {
            result.push_str(&tables.next().expect("three tables"));
        } else if !is_row {
            result.push_str(line);
            result.push('\n');
        }
        in_table = is_row;
    }
    assert_eq!(tables.next(), None, "docs/errors.md has three tables");
    result
}

#[test]
fn errors_page_is_up_to_date() {
    let page = fs::read_to_string(PATH).unwrap();
    let wanted = with_tables(&page, tables());
    if page == wanted {
        return;
    }
    if env::var_os("CI").is_none() {
        fs::write(PATH, wanted).unwrap();
        panic!("docs/errors.md was out of date and is now rewritten: look at it and commit it");
    }
    panic!(
        "docs/errors.md is out of date: run `cargo test errors_page_is_up_to_date` and commit it"
    );
}

#[test]
fn every_row_has_a_reason_of_the_proto() {
    let names: BTreeSet<_> = reasons().into_iter().map(name_of).collect();
    for name in columns().keys() {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn the_domain_follows_the_number() {
    for row in rows() {
        let info = status(&row.error, "the-id").get_details_error_info().unwrap();
        let is_voyage = reason(&row.error) as i32 >= FIRST_OF_VOYAGE;
        assert_eq!(info.domain, if is_voyage { "voyageai.com" } else { "voyage-gateway" });
    }
}

#[test]
fn every_reason_says_what_happened_and_names_the_keys_of_its_metadata() {
    let page = fs::read_to_string(PATH).unwrap();
    for (number, text) in comments() {
        assert!(text.ends_with('.'), "{number}: {text}");
    }
    for row in rows() {
        let info = status(&row.error, "the-id").get_details_error_info().unwrap();
        for key in info.metadata.keys().filter(|key| *key != "credential") {
            assert!(page.contains(&format!("`{key}`")), "{key}");
        }
    }
}
