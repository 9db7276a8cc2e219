//! `inspect serve`: the list, the pages, what is new, and who may ask for it.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::common::programs::Workplace;
use crate::server::{Events, Server, append, line, lines, points, run};

#[test]
fn the_list_has_the_runs_of_a_folder_also_those_that_begin_later() {
    let place = Workplace::with_run();
    fs::create_dir(place.path("runs")).unwrap();
    fs::rename(place.path("run"), place.path("runs/digits")).unwrap();
    run(&place, "runs/sweep/killed", &lines(0..3));
    let server = Server::of(&place, &["runs"]);
    let list = server.list();
    let shown = |row: &Value| [&row["name"], &row["state"], &row["step"]].map(Value::to_string).join(" ");
    assert_eq!(
        list.iter().map(shown).collect::<Vec<_>>(),
        ["\"digits\" \"finished\" 20", "\"sweep/killed\" \"killed\" 3"]
    );
    assert_eq!((&list[0]["total"], &list[0]["saved_step"], &list[1]["loss"]), (&20.into(), &20.into(), &2.0.into()));
    assert!(list[0]["val_loss"].is_f64() && list[0]["metric"][0] == "val_accuracy", "{list:?}");
    assert!(server.get("/").body.contains("Skip to the runs"));
    for asset in ["/assets/list.js", "/assets/list.css"] {
        assert_eq!(server.get(asset).code, 200);
    }
    run(&place, "runs/new", "");
    server.list_until(|list| list.iter().any(|run| run["name"] == "new" && run["state"] == "new"));
}

#[test]
fn the_page_of_a_run_is_that_of_a_report_and_follows_it() {
    let place = Workplace::with_run();
    let server = Server::of(&place, &["run"]);
    // A single run has no list.
    let entry = server.get("/");
    let page = format!("/view?run={}", server.id("run"));
    assert!(entry.code == 303 && entry.head.contains(&format!("location: {page}")), "{}", entry.head);
    let answer = server.get(&page);
    assert_eq!(answer.code, 200);
    let log = fs::read_to_string(place.path("run/log.jsonl")).unwrap();
    let last: Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert!(answer.body.contains(&last["loss"].to_string()), "the page lacks the last loss");
    assert!(answer.body.contains("new EventSource") && answer.body.contains("connect-src 'self'"));
    assert!(answer.head.contains("frame-ancestors 'none'"), "{}", answer.head);
    let rest = server.get(&page.replace("view", "rest.json"));
    let rest: Value = serde_json::from_str(&rest.body).unwrap();
    assert_eq!((&rest["total_steps"], rest["config"].is_array()), (&20.into(), true));
}

#[test]
fn a_line_that_is_appended_comes_and_nothing_else() {
    let place = Workplace::new();
    let log = run(&place, "run", &lines(0..3));
    let server = Server::of(&place, &["run"]);
    let target = format!("/events?run={}", server.id("run"));
    let mut events = Events::of(&server, &target, "");
    let (first, all) = events.next();
    assert_eq!((all["from"].as_u64(), points(&all, "loss")), (Some(0), vec![(0, 0.0), (1, 1.0), (2, 2.0)]));
    append(&log, &line(3, 0.25));
    let (second, news) = events.next_points();
    assert_eq!((news["from"].as_u64(), points(&news, "loss")), (Some(3), vec![(3, 0.25)]));
    assert_eq!((&news["row"]["step"], &news["row"]["loss"]), (&4.into(), &0.25.into()));
    // Half a line waits for its end.
    let next = line(4, 0.125);
    append(&log, &next[..20]);
    append(&log, &next[20..]);
    let (_, news) = events.next_points();
    assert_eq!(points(&news, "loss"), [(4, 0.125)]);
    // Who was away gets what was missed, and who was not gets no points.
    let mut again = Events::of(&server, &target, &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(points(&again.next().1, "loss"), [(3, 0.25), (4, 0.125)]);
    let mut again = Events::of(&server, &format!("{target}&seen={second}"), "");
    assert_eq!(points(&again.next().1, "loss"), [(4, 0.125)]);
    let mut odd = Events::of(&server, &target, "Last-Event-ID: elsewhere:1.1,:::\r\n");
    assert_eq!(points(&odd.next().1, "loss").len(), 5);
}

#[test]
fn a_log_that_a_resume_cuts_back_loses_its_points_on_the_page() {
    let place = Workplace::new();
    let log = run(&place, "run", &lines(0..9));
    let server = Server::of(&place, &["run"]);
    let mut events = Events::of(&server, &format!("/events?run={}", server.id("run")), "");
    assert_eq!(points(&events.next().1, "loss").len(), 9);
    OpenOptions::new().write(true).open(&log).unwrap().set_len(lines(0..4).len() as u64).unwrap();
    let (_, news) = events.next_points();
    assert_eq!((news["from"].as_u64(), points(&news, "loss").len(), &news["row"]["step"]), (Some(0), 4, &4.into()));
    append(&log, &line(4, 0.5));
    assert_eq!(points(&events.next_points().1, "loss"), [(4, 0.5)]);
    // The end of a run comes too.
    fs::write(place.path("run/outcome.json"), r#"{"outcome":"finished","step":5,"exit_code":0,"unix_time":1.0}"#)
        .unwrap();
    let (_, news) = events.next();
    assert_eq!((&news["row"]["state"], &news["from"]), (&"finished".into(), &Value::Null));
}

#[test]
fn other_names_of_the_server_and_other_methods_are_refused() {
    let place = Workplace::new();
    run(&place, "run", &lines(0..1));
    let server = Server::of(&place, &["run", "--host", "gpu-3"]);
    let from = |host: &str| server.say(&format!("GET /runs.json HTTP/1.1\r\n{host}Connection: close\r\n\r\n"));
    for host in ["localhost", "localhost:8080", "GPU-3:80", "127.0.0.1", "[::1]:1"] {
        assert_eq!(from(&format!("Host: {host}\r\n")).code, 200, "{host}");
    }
    for host in [
        "Host: evil.example\r\n",
        "Host: localhost.evil.example:80\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
        "",
    ] {
        let answer = from(host);
        let is_told = answer.body.contains("http://127.0.0.1:") && answer.body.contains("--host NAME");
        assert!(answer.code == 403 && is_told, "{host}: {} {}", answer.code, answer.body);
        assert!(!answer.body.contains("loss"));
    }
    assert_eq!(
        server.say("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").code,
        403
    );
    assert_eq!(server.say("GET /runs.json HTTP/1.0\r\n\r\n").code, 403);
    assert_eq!(server.say("GET /runs.json HTTP/1.0\r\nHost: localhost\r\n\r\n").code, 200);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "ODD"] {
        let answer = server.ask(method, "/runs.json", "");
        assert!(answer.code == 405 && answer.head.contains("allow: get, head"), "{method}: {}", answer.head);
    }
    let head = server.ask("HEAD", "/runs.json", "");
    assert_eq!((head.code, head.body.as_str()), (200, ""));
    for header in ["x-content-type-options: nosniff", "referrer-policy: no-referrer", "frame-ancestors 'none'"] {
        assert!(head.head.contains(header), "{}", head.head);
    }
    assert!(!head.head.contains("access-control"), "{}", head.head);
}

#[test]
fn a_server_with_a_token_answers_only_who_has_it() {
    let place = Workplace::new();
    run(&place, "run", &lines(0..1));
    let server = Server::of(&place, &["run", "--token"]);
    let token = server.entry.strip_prefix("/?token=").unwrap();
    assert!(token.len() >= 32, "{token}");
    for target in ["/", "/runs.json", "/nowhere", "/runs.json?token=", "/runs.json?token=0", "/assets/list.js"] {
        let answer = server.get(target);
        assert!(answer.code == 401 && answer.body.contains("`inspect serve` has printed"), "{target}: {}", answer.code);
    }
    let answer = server.get(&format!("/runs.json?a=b&token={token}"));
    assert!(answer.code == 303 && answer.head.contains("location: /runs.json?a=b\r\n"), "{}", answer.head);
    let cookie = answer.head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(cookie.contains("; httponly") && cookie.contains("; samesite=strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(server.ask("GET", "/runs.json", &format!("Cookie: other=1; {cookie}\r\n")).code, 200);
    let wrong = format!("Cookie: {}\r\n", cookie.replace(&token[..4], "zzzz"));
    assert_eq!(server.ask("GET", "/runs.json", &wrong).code, 401);
}

#[test]
fn no_request_reaches_a_file_outside_the_runs() {
    let place = Workplace::new();
    fs::write(place.path("secret"), line(0, 4711.0)).unwrap();
    run(&place, "runs/good", &lines(0..1));
    fs::remove_file(run(&place, "runs/linked", "")).unwrap();
    symlink(place.path("secret"), place.path("runs/linked/log.jsonl")).unwrap();
    run(&place, "elsewhere", &line(0, 4711.0));
    symlink(place.path("elsewhere"), place.path("runs/away")).unwrap();
    let server = Server::of(&place, &["runs"]);
    let list = server.list();
    assert_eq!(list.len(), 2, "{list:?}");
    assert!(list[1]["problem"].as_str().unwrap().contains("log.jsonl is a link"), "{list:?}");
    let linked = server.id("linked");
    let long = format!("/view?run={}", "a".repeat(5000));
    let longer = format!("/{}", "a".repeat(100_000));
    let targets = [
        "/..",
        "/../secret",
        "/%2e%2e%2fsecret",
        "/..%2fsecret",
        "/assets/../../secret",
        "/assets/%2e%2e/list.js",
        "/assets/",
        "/secret",
        "/view?run=../secret",
        "/view?run=%2e%2e%2fsecret",
        "/view?run=%00",
        "/view?run=",
        "/view",
        "/events?run=..",
        "/events",
        "/rest.json?run=/",
        "//",
        "/runs.json/",
        &long,
        &longer,
        "*",
    ];
    for target in targets {
        let answer = server.get(target);
        let shown = &target[..target.len().min(60)];
        assert!([400, 404, 414, 431].contains(&answer.code), "{shown}: {}", answer.code);
        assert!(!answer.body.contains("4711"), "{shown}");
    }
    for target in ["view", "events", "rest.json"] {
        let answer = server.get(&format!("/{target}?run={linked}"));
        assert!(answer.code == 403 && answer.body.contains("log.jsonl is a link"), "{target}: {}", answer.body);
    }
    let many: Vec<String> = (0..21).map(|run| format!("run={run}")).collect();
    assert!(server.get(&format!("/view?{}", many.join("&"))).body.contains("1 to 20"));
    assert_eq!(server.get("/runs.json").code, 200);
}

#[test]
fn idle_and_slow_clients_leave_room_for_others() {
    let place = Workplace::new();
    run(&place, "run", &lines(0..1));
    let server = Server::of(&place, &["run"]);
    let idle: Vec<TcpStream> = (0..200).map(|_| server.connect()).collect();
    let mut slow = server.connect();
    slow.write_all(b"GET /runs.json HTTP/1.1\r\nHost: local").unwrap();
    assert_eq!(server.get("/runs.json").code, 200);
    slow.write_all(b"host\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(idle);
}

#[test]
fn a_request_that_cannot_be_served_is_refused_with_its_remedy() {
    let place = Workplace::new();
    run(&place, "run", &lines(0..1));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    place.inspect_refuses(
        2,
        &["serve", "run", "--address", &taken],
        &["is in use", "--address 127.0.0.1:", "--address 0"],
    );
    place.inspect_refuses(2, &["serve", "nowhere"], &["nowhere", "give a run directory, or a folder of runs"]);
    place.inspect_refuses(2, &["serve", "run/log.jsonl"], &["is a file"]);
    place.inspect_refuses(2, &["serve", "s3://bucket/run"], &["inspect report"]);
    place.inspect_refuses(2, &["serve", "run", "--address", "example.org:80"], &["127.0.0.1:6006"]);
    place.inspect_refuses(2, &["serve"], &["RUN"]);
}

#[test]
fn a_signal_ends_the_server_at_once_and_well() {
    let place = Workplace::new();
    run(&place, "run", &lines(0..1));
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let mut server = Server::of(&place, &["run"]);
        // Somebody looks.
        let mut events = Events::of(&server, &format!("/events?run={}", server.id("run")), "");
        events.next();
        // SAFETY: the process is a child that is not waited for yet.
        unsafe { libc::kill(server.child.id() as i32, signal) };
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
    }
}
