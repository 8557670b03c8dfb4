use super::*;

fn key(environment: &[(&str, &str)]) -> Result<String, String> {
    match api_key(&pairs(environment)) {
        Ok(key) => Ok(key.expose().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The path of the file reads `FILE` in the answer.
fn key_in_file(content: impl AsRef<[u8]>) -> Result<String, String> {
    let file = File::new(content);
    let path = file.path().to_str().unwrap();
    key(&[("VOYAGE_API_KEY_FILE", path)]).map_err(|told| told.replace(path, "FILE"))
}

#[test]
fn the_key_comes_from_the_variable_or_the_file() {
    assert_eq!(key(&[("VOYAGE_API_KEY", "pa-1"), ("PATH", "/")]), Ok("pa-1".to_owned()));
    assert_eq!(key_in_file("pa-1"), Ok("pa-1".to_owned()));
}

#[test]
fn white_space_around_the_key_is_no_part_of_it() {
    assert_eq!(key(&[("VOYAGE_API_KEY", "pa-1\n")]), Ok("pa-1".to_owned()));
    assert_eq!(key_in_file(" pa-1\r\n\n"), Ok("pa-1".to_owned()));
}

#[test]
fn one_key_is_needed() {
    let missing = "there is no API key: set VOYAGE_API_KEY, or VOYAGE_API_KEY_FILE to the path of a file that holds it";
    assert_eq!(key(&[]), Err(missing.to_owned()));
    let both = "VOYAGE_API_KEY and VOYAGE_API_KEY_FILE are both set; unset one of them";
    assert_eq!(
        key(&[("VOYAGE_API_KEY", "pa-1"), ("VOYAGE_API_KEY_FILE", "/k")]),
        Err(both.to_owned())
    );
}

#[test]
fn an_empty_key_is_no_key() {
    let empty = |place| Err(format!("the API key in {place} is empty"));
    assert_eq!(key(&[("VOYAGE_API_KEY", "")]), empty("VOYAGE_API_KEY"));
    assert_eq!(key(&[("VOYAGE_API_KEY", " \n")]), empty("VOYAGE_API_KEY"));
    assert_eq!(key_in_file("\n"), empty("FILE (VOYAGE_API_KEY_FILE)"));
}

#[test]
fn a_key_is_visible_ascii() {
    let malformed = |place| {
        Err(format!("the API key in {place} holds characters other than visible ASCII ones"))
    };
    for canary in ["pa canary", "pa-\u{7f}canary", "pa-cänary", "pa-canary\npa-canary"] {
        assert_eq!(key(&[("VOYAGE_API_KEY", canary)]), malformed("VOYAGE_API_KEY"));
    }
    assert_eq!(key_in_file(b"pa-\xff"), malformed("FILE (VOYAGE_API_KEY_FILE)"));
}

#[test]
fn an_unreadable_file_is_named() {
    let told =
        "/nowhere/key (VOYAGE_API_KEY_FILE) cannot be read: No such file or directory (os error 2)";
    assert_eq!(key(&[("VOYAGE_API_KEY_FILE", "/nowhere/key")]), Err(told.to_owned()));
}

#[test]
fn a_key_that_stands_where_its_path_belongs_is_not_shown() {
    let told = "the file that VOYAGE_API_KEY_FILE names cannot be read: No such file or directory (os error 2)";
    for canary in ["pa-canary", "al-canary"] {
        assert_eq!(key(&[("VOYAGE_API_KEY_FILE", canary)]), Err(told.to_owned()));
    }
}
