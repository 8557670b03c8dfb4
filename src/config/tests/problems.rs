use proptest::prelude::*;

use super::*;
use crate::config::tree::Tree;

const SPAN: &str = "expected a span of time with its unit (ms, s, m, h, d) such as \"250ms\", \"1m30s\" or \"30d\", at most 36500d";
const SIZE: &str =
    "expected a size with its unit (B, KiB, MiB, GiB, KB, MB, GB) such as \"16KiB\" or \"256MiB\"";

/// Every key, with its problem when the value has another type.
const EXPECTATIONS: [(&str, &str); 49] = [
    ("server.listen", "expected an IP address and a port such as \"127.0.0.1:50051\""),
    ("server.max_request_bytes", SIZE),
    ("server.default_deadline", SPAN),
    ("server.max_deadline", SPAN),
    ("server.max_connections", "expected a whole number from 0 to 4294967295"),
    ("server.connection_age", SPAN),
    ("server.connection_age_grace", SPAN),
    ("server.reflection", "expected true or false"),
    ("auth.mode", "expected \"none\" or \"tokens\" or \"mtls\" or \"jwt\""),
    ("admission.max_in_flight", "expected a whole number from 0 to 4294967295"),
    ("admission.max_bytes", SIZE),
    ("cache.max_bytes", SIZE),
    ("cache.ttl", SPAN),
    ("batch.max_inputs", "expected a whole number from 0 to 4294967295"),
    ("batch.max_in_flight", "expected a whole number from 0 to 4294967295"),
    (
        "upstream.base_url",
        "must be an http or https URL with a host and without user info, query or fragment",
    ),
    ("upstream.attempt_timeout", SPAN),
    ("upstream.connect_timeout", SPAN),
    ("upstream.default_model", "must be 1 to 128 visible ASCII characters"),
    ("admin.listen", "expected an IP address and a port such as \"127.0.0.1:50051\""),
    ("telemetry.log_format", "expected \"auto\" or \"json\" or \"pretty\""),
    (
        "telemetry.log_filter",
        "must be a level or levels per module, such as \"info,voyage_gateway::dispatch=debug\"",
    ),
    (
        "telemetry.otlp_endpoint",
        "must be an http or https URL with a host and without user info, query or fragment",
    ),
    ("telemetry.otlp_protocol", "expected \"grpc\" or \"http/protobuf\""),
    ("telemetry.otlp_compression", "expected \"gzip\" or \"none\""),
    ("telemetry.otlp_timeout", SPAN),
    ("telemetry.otlp_metrics_interval", SPAN),
    ("drain.delay", SPAN),
    ("drain.grace", SPAN),
    ("limits.rpm", "expected a whole number from 0 to 4294967295"),
    ("limits.tpm", "expected a whole number, 0 or more"),
    ("limits.replicas", "expected a whole number from 0 to 4294967295"),
    ("breaker.failure_percent", "expected a whole number from 0 to 4294967295"),
    ("breaker.min_calls", "expected a whole number from 0 to 4294967295"),
    ("breaker.window", SPAN),
    ("breaker.open_for", SPAN),
    ("breaker.max_open", SPAN),
    ("cache.scope", "expected \"shared\" or \"per-caller\""),
    ("limits.daily_tokens", "expected a whole number, 0 or more"),
    ("limits.monthly_tokens", "expected a whole number, 0 or more"),
    ("reload.interval", SPAN),
    ("callers.search.requests_per_second", "expected a whole number from 0 to 4294967295"),
    ("callers.search.tokens_per_minute", "expected a whole number, 0 or more"),
    ("callers.default.tokens_per_day", "expected a whole number, 0 or more"),
    ("callers.\"a b\".models", "expected a list"),
    ("callers.\"a b\".rpcs", "expected a list"),
    ("callers.search.max_priority", "expected \"interactive\" or \"batch\""),
    ("callers.search.cache_scope", "expected \"shared\" or \"per-caller\""),
    ("auth.jwt.leeway", SPAN),
];

#[test]
fn every_key_says_what_it_expects_and_never_what_it_got() {
    let canary = "a secret = canary, expected canary";
    for (key, expectation) in EXPECTATIONS {
        let reported = report(load_set(&[&format!("{key}={canary}")]));
        assert_eq!(reported, format!("{key}: {expectation} (from --set)"));
        let reported = report(load_file(&format!("{key} = '{canary}'")));
        assert_eq!(reported, format!("{key}: {expectation} (from file.toml)"));
    }
}

#[test]
fn every_key_refuses_a_table_and_most_a_number() {
    for (key, expectation) in EXPECTATIONS {
        let reported = report(load_file(&format!("{key} = {{ canary = 'canary' }}")));
        assert!(reported.starts_with(&format!("{key}: expected ")), "{reported}");
        assert!(!reported.contains("canary"), "{reported}");
        if !expectation.starts_with("expected a whole number") {
            let reported = report(load_file(&format!("{key} = 424242")));
            assert!(reported.starts_with(&format!("{key}: expected ")), "{reported}");
            assert!(!reported.contains("424242"), "{reported}");
        }
    }
}

#[test]
fn all_problems_are_reported_at_once_each_with_its_origin() {
    let file = File::new(
        "[server]\nlisten = 'here'\nlistne = 1\n[batch]\nmax_inputs = 0\n[cash]\nttl = '1d'\n",
    );
    let sources = Sources {
        file: Some(file.path().to_owned()),
        environment: pairs(&[
            ("VOYAGE_GATEWAY__CACHE__TTL", "0s"),
            ("VOYAGE_GATEWAY__DRAIN__DELAY", "5"),
            ("VOYAGE_GATEWAY____TTL", "canary"),
        ]),
        set: strings(&["batch.max_in_flight=-1", "canary", "admin.listen.port=1"]),
    };
    let file = file.path().display();
    let reported = report(load(&sources));
    let reported: Vec<&str> = reported.lines().collect();
    assert_eq!(
        reported,
        [
            "VOYAGE_GATEWAY____TTL: the name must be VOYAGE_GATEWAY__SECTION__KEY",
            "--set: expected section.key=value",
            &format!("server.listen: {} (from {file})", EXPECTATIONS[0].1),
            &format!("server.listne: unknown key; did you mean \"listen\"? (from {file})"),
            "batch.max_in_flight: expected a whole number from 0 to 4294967295 (from --set)",
            &format!("cash: unknown key; did you mean \"cache\"? (from {file})"),
            &format!("drain.delay: {SPAN} (from VOYAGE_GATEWAY__DRAIN__DELAY)"),
            &format!("admin.listen: {} (from --set)", EXPECTATIONS[0].1),
            "cache.ttl: must be longer than 0s (from VOYAGE_GATEWAY__CACHE__TTL)",
            &format!("batch.max_inputs: must be 1 to 1000 (from {file})"),
        ]
    );
}

#[test]
fn unknown_keys_without_a_likeness_name_the_known_ones() {
    assert_eq!(
        report(load_set(&["cache.colour=1"])),
        "cache.colour: unknown key; known are max_bytes, ttl, scope, rerank, key_file (from --set)"
    );
    assert_eq!(
        report(load_environment(&[("VOYAGE_GATEWAY__X", "1")])),
        "x: unknown key; known are server, tls, auth, callers, admission, cache, batch, limits, retry, breaker, \
         models, tokens, upstream, reload, admin, telemetry, drain (from VOYAGE_GATEWAY__X)"
    );
}

#[test]
fn an_api_key_in_the_tree_is_sent_home() {
    let home = "unknown key; the API key comes from VOYAGE_API_KEY or VOYAGE_API_KEY_FILE, never from the configuration";
    assert_eq!(
        report(load_file("[upstream]\napi_key = 'pa-canary'")),
        format!("upstream.api_key: {home} (from file.toml)")
    );
    assert_eq!(
        report(load_environment(&[("VOYAGE_GATEWAY__UPSTREAM__API_KEY", "pa-canary")])),
        format!("upstream.api_key: {home} (from VOYAGE_GATEWAY__UPSTREAM__API_KEY)")
    );
}

#[test]
fn a_key_cannot_forge_a_line() {
    assert_eq!(report(load_file("\"a\\nb\" = 1")).lines().count(), 1);
}

#[test]
fn a_section_must_be_a_section() {
    for section in ["server", "tokens.models", "tokens.models.\"voyage-3.5\""] {
        for value in ["3", "['127.0.0.1:1']", "'canary'"] {
            assert_eq!(
                report(load_file(&format!("{section} = {value}"))),
                format!("{section}: expected a section of keys (from file.toml)")
            );
        }
    }
}

#[test]
fn an_array_is_left_out_as_a_whole() {
    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Pool {
        members: Vec<Member>,
        spare: u32,
    }
    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Member {
        alias: String,
        rpm: u32,
    }

    let read = |items: &str| {
        let sources = Sources {
            set: vec![format!("members={items}"), "spare=2".to_owned()],
            ..Sources::default()
        };
        let mut tree = Tree::gather(&sources, None);
        let pool: Pool = tree.read();
        (pool, tree.finish().map_err(|problems| problems.to_string()))
    };
    let member = Member { alias: "a".to_owned(), rpm: 1 };
    assert_eq!(
        read("[{ alias = 'a', rpm = 1 }]"),
        (Pool { members: vec![member], spare: 2 }, Ok(()))
    );
    for (items, reported) in [
        ("[{ alias = 'a', rpm = 1 }, 3]", "item 2: expected a section of keys"),
        (
            "[{ alias = 'a', rpm = 'canary' }]",
            "item 1: \"rpm\": expected a whole number from 0 to 4294967295",
        ),
        (
            "[{ alias = 'a', rpm = 1, rpn = 2 }]",
            "item 1: \"rpn\": unknown key; did you mean \"rpm\"?",
        ),
        ("[{ rpm = 1 }]", "item 1: missing field `alias`"),
    ] {
        let reported = format!("members: {reported} (from --set)");
        assert_eq!(read(items), (Pool { members: vec![], spare: 2 }, Err(reported)));
    }
}

#[test]
fn malformed_files_are_placed_and_not_quoted() {
    for (content, reported) in [
        (
            "[cache]\nttl = canary",
            "line 2, column 7: string values must be quoted, expected literal string",
        ),
        ("[cache]\nttl = 'canary", "line 2, column 14: invalid literal string, expected `'`"),
        ("[cache\n", "line 1, column 7: unclosed table, expected `]`"),
        ("[cache]\nttl = '1d'\nttl = 'canary'\n", "line 3, column 1: duplicate key"),
        (
            "[batch]\nmax_inputs = 99999999999999999999\n",
            "line 2, column 14: a number is out of range",
        ),
    ] {
        assert_eq!(report(load_file(content)), format!("file.toml: {reported}"), "{content}");
    }
}

#[test]
fn unreadable_files_are_named() {
    let path = std::env::temp_dir().join("voyage-gateway-none").join("config.toml");
    let reported = report(load(&Sources { file: Some(path.clone()), ..Sources::default() }));
    assert_eq!(
        reported,
        format!("{}: cannot be read: No such file or directory (os error 2)", path.display())
    );
}

#[test]
fn files_are_utf8() {
    let file = File::new(b"cache.ttl = '\xff'");
    let reported =
        report(load(&Sources { file: Some(file.path().to_owned()), ..Sources::default() }));
    assert_eq!(reported, format!("{}: cannot be read: it is not UTF-8", file.path().display()));
}

#[test]
fn values_out_of_range_are_reported() {
    for (set, reported) in [
        ("server.max_request_bytes=1023B", "server.max_request_bytes: must be 1KiB to 1GiB"),
        ("server.max_request_bytes=2GiB", "server.max_request_bytes: must be 1KiB to 1GiB"),
        ("server.default_deadline=0s", "server.default_deadline: must be longer than 0s"),
        (
            "server.default_deadline=6m",
            "server.default_deadline: must not be longer than server.max_deadline",
        ),
        ("batch.max_inputs=1001", "batch.max_inputs: must be 1 to 1000"),
        ("batch.max_in_flight=0", "batch.max_in_flight: must be 1 to 1024"),
        ("admission.max_in_flight=0", "admission.max_in_flight: must be at least 1"),
        ("limits.rpm=0", "limits.rpm: must be at least 1"),
        ("limits.tpm=0", "limits.tpm: must be at least 1"),
        ("limits.replicas=0", "limits.replicas: must be at least 1"),
        ("limits.daily_tokens=0", "limits.daily_tokens: must be at least 1"),
        ("limits.monthly_tokens=0", "limits.monthly_tokens: must be at least 1"),
        ("reload.interval=31s", "reload.interval: must be 100ms to 30s"),
        ("limits.models.voyage-4.rpm=0", "limits.models.voyage-4.rpm: must be at least 1"),
        ("limits.models.'my model'.tpm=0", "limits.models.\"my model\".tpm: must be at least 1"),
        ("limits.models.'a\"b'.tpm=0", "limits.models.\"a\\\"b\".tpm: must be at least 1"),
        (
            "limits.models.voyage-4.rpn=1",
            "limits.models.voyage-4.rpn: unknown key; did you mean \"rpm\"?",
        ),
        ("breaker.failure_percent=0", "breaker.failure_percent: must be 1 to 100"),
        ("breaker.failure_percent=101", "breaker.failure_percent: must be 1 to 100"),
        ("breaker.min_calls=0", "breaker.min_calls: must be at least 1"),
        ("breaker.window=0s", "breaker.window: must be longer than 0s"),
        ("breaker.open_for=0s", "breaker.open_for: must be longer than 0s"),
        ("breaker.max_open=4s", "breaker.max_open: must not be shorter than breaker.open_for"),
        ("cache.ttl=0s", "cache.ttl: must be longer than 0s"),
        ("cache.key_file=", "cache.key_file: must not be empty"),
        ("upstream.attempt_timeout=0s", "upstream.attempt_timeout: must be longer than 0s"),
        ("upstream.connect_timeout=0s", "upstream.connect_timeout: must be longer than 0s"),
        (
            "models.aliases.voyage-4=voyage-4-lite",
            "models.aliases.voyage-4: the alias must not be the name of a listed model",
        ),
        ("models.voyage-4.prize=1", "models.voyage-4.prize: unknown key; did you mean \"price\"?"),
        ("models.voyage-4.price=-1", "models.voyage-4.price: must be 0 or more"),
        ("models.voyage-4=1", "models.voyage-4: expected a section of keys"),
        (
            "models.voyage-9.price=1",
            "models.voyage-9: requires its kind, since the model is not listed",
        ),
        (
            "upstream.default_model=",
            "upstream.default_model: must be 1 to 128 visible ASCII characters",
        ),
        (
            "admission.max_bytes=1MiB",
            "admission.max_bytes: must be at least server.max_request_bytes, or the largest requests are never \
             admitted",
        ),
    ] {
        let problems = load_set(&[set]).unwrap_err();
        assert_eq!(problems.0[0], format!("{reported} (from --set)"), "{set}");
    }
}

#[test]
fn problems_of_one_model_name_it() {
    for (set, reported) in [
        (".tokenizer=", ".tokenizer: must not be empty"),
        (".tokeniser=/t.json", ".tokeniser: unknown key; did you mean \"tokenizer\"?"),
    ] {
        let problems = load_set(&[&format!("tokens.models.\"voyage-3.5\"{set}")]).unwrap_err();
        assert_eq!(problems.0[0], format!("tokens.models.\"voyage-3.5\"{reported} (from --set)"));
    }
    assert_eq!(
        report(load_file("[tokens.models.\"voyage-3.5\"]")),
        "tokens.models.\"voyage-3.5\": missing field `tokenizer` (from file.toml)"
    );
}

#[test]
fn values_at_the_end_of_their_range_are_taken() {
    load_set(&[
        "server.max_request_bytes=1KiB",
        "server.default_deadline=1ms",
        "server.max_deadline=1ms",
        "admission.max_bytes=1KiB",
        "admission.max_in_flight=1",
        "cache.max_bytes=0B",
        "cache.ttl=36500d",
        "batch.max_inputs=1",
        "batch.max_in_flight=1024",
        "drain.delay=0s",
        "drain.grace=0s",
        "limits.rpm=1",
        "limits.tpm=1",
        "limits.replicas=1",
        "limits.daily_tokens=1",
        "limits.monthly_tokens=1",
        "callers.default.requests_per_second=1",
        "callers.'a \"quoted\" name'.weight=1000",
        "callers.a.models=['*', 'voyage-*', 'voyage-4']",
        "callers.a.rpcs=['ListModels', 'Embed', 'GetGatewayInfo']",
        "callers.b.rpcs=[]",
        "callers.b.models=[]",
        "limits.models.my-model.rpm=1",
        "breaker.failure_percent=100",
        "breaker.min_calls=1",
        "breaker.window=1ms",
        "breaker.open_for=1m",
    ])
    .unwrap();
}

#[test]
fn base_urls_are_checked() {
    for good in
        ["https://host/v1", "http://127.0.0.1:8080/v1/", "http://[::1]", "https://proxy.internal"]
    {
        load_set(&[&format!("upstream.base_url={good}")]).unwrap();
    }
    let (_, expectation) =
        EXPECTATIONS.iter().find(|(key, _)| *key == "upstream.base_url").unwrap();
    for bad in [
        "",
        "host/v1",
        "ftp://host",
        "https://",
        "https://user@host",
        "https://:canary@host",
        "https://host/?key=canary",
        "https://host/#x",
        "unix:/run/x",
        "https://host\n",
        "https://ho st",
    ] {
        let reported = report(load_set(&[&format!("upstream.base_url={bad}")]));
        assert_eq!(reported, format!("upstream.base_url: {expectation} (from --set)"), "{bad}");
    }
}

#[test]
fn an_open_port_needs_a_word_about_auth() {
    let reported = "auth.mode: must be set, because server.listen is not a loopback address; \"none\" lets every \
                client call";
    for open in ["0.0.0.0:50051", "[::]:50051", "10.0.0.1:1", "[::ffff:10.0.0.1]:1"] {
        let listen = format!("server.listen={open}");
        assert_eq!(report(load_set(&[&listen])), reported);
        load_set(&[&listen, "auth.mode=none"]).unwrap();
    }
    for closed in ["127.0.0.1:0", "127.1.2.3:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
        load_set(&[&format!("server.listen={closed}")]).unwrap();
    }
}

#[test]
fn tls_needs_a_certificate_and_its_key() {
    let [cert, key, ca] = ["tls.cert=/c.pem", "tls.key=/k.pem", "tls.client_ca=/a.pem"];
    for good in [vec![], vec![cert, key], vec![cert, key, ca]] {
        load_set(&good).unwrap();
    }
    let needs_cert = |other: &str| format!("tls.cert: must be set, because tls.{other} is");
    let needs_key = |other: &str| format!("tls.key: must be set, because tls.{other} is");
    for (set, reported) in [
        (vec![cert], vec![needs_key("cert")]),
        (vec![cert, ca], vec![needs_key("cert")]),
        (vec![key], vec![needs_cert("key")]),
        (vec![key, ca], vec![needs_cert("key")]),
        (vec![ca], vec![needs_cert("client_ca"), needs_key("client_ca")]),
        (vec!["tls.cert=", key], vec!["tls.cert: must not be empty (from --set)".to_owned()]),
        (
            vec![cert, key, "tls.client_ca="],
            vec!["tls.client_ca: must not be empty (from --set)".to_owned()],
        ),
    ] {
        assert_eq!(report(load_set(&set)).lines().collect::<Vec<_>>(), reported, "{set:?}");
    }
    assert!(!load_set(&[]).unwrap().tls.is_on());
    assert!(load_set(&[cert, key]).unwrap().tls.is_on());
}

#[test]
fn keys_that_could_not_be_read_are_not_judged_by_their_defaults() {
    // The deadline is longer than the default maximum, but the maximum was meant to be another.
    assert_eq!(
        report(load_set(&["server.default_deadline=1h", "server.max_deadline=long"])),
        format!("server.max_deadline: {SPAN} (from --set)")
    );
    assert_eq!(
        report(load_set(&["server.listen=0.0.0.0:1", "auth.mode=nobody"])),
        "auth.mode: expected \"none\" or \"tokens\" or \"mtls\" or \"jwt\" (from --set)"
    );
    // Neither are keys of a file that could not be read, while others are.
    let file = File::new("[");
    let set = strings(&["server.listen=0.0.0.0:1", "batch.max_inputs=0"]);
    let reported =
        report(load(&Sources { file: Some(file.path().to_owned()), set, ..Sources::default() }));
    let reported: Vec<&str> = reported.lines().collect();
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert_eq!(reported[1], "batch.max_inputs: must be 1 to 1000 (from --set)");
}

proptest! {
    #[test]
    fn any_text_is_taken_or_reported(key in "[a-z.\"'=]{0,20}", value: String, file: String) {
        let file = File::new(file);
        let sources = Sources {
            file: Some(file.path().to_owned()),
            environment: pairs(&[("VOYAGE_GATEWAY__SERVER__LISTEN", &value)]),
            set: vec![format!("{key}={value}"), format!("cache.{key}={value}")],
        };
        let _ = load(&sources);
    }
}
