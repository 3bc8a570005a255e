//! The page in a real browser, by clicks. With DAYFOLD_PICTURES a folder for pictures is named, which go into the
//! documents (`just page-pictures`).

use std::path::PathBuf;

use local_postgres::Shutdown;

use super::driver::{Browser, browser};
use super::{OPERATOR, served};
use crate::service::http::free_port;
use crate::support::outside::eventually as so;
use crate::support::running::{Running, UserLock, eventually};
use crate::support::samples::insert_samples;
use crate::support::{Database, database, server_of_its_own, worker_at};

/// The views, with a sentence of each.
const VIEWS: [(&str, &str); 7] = [
    ("Overview", "Rates of this worker"),
    ("Failures", "Rejected raw rows"),
    ("User's day", "Local date"),
    ("Runs", "Rows claimed"),
    ("Settings", "database.url"),
    ("Doctor", "What to change"),
    ("Actions", "Action log"),
];

/// Texts that have less contrast with what is behind them than WCAG AA asks for.
const CONTRAST: &str = "
    const rgb = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
    const part = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
    const light = (c) => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
    const behind = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const c = rgb(getComputedStyle(e).backgroundColor);
            if (c.length === 3 || c[3] > 0.99) return c;
        }
        return rgb(getComputedStyle(document.documentElement).colorScheme.includes('dark') &&
            matchMedia('(prefers-color-scheme: dark)').matches ? 'rgb(0,0,0)' : 'rgb(255,255,255)');
    };
    const weak = [];
    for (const element of document.querySelectorAll('body *')) {
        const own = Array.from(element.childNodes).some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || !element.getClientRects().length) continue;
        const style = getComputedStyle(element);
        const [a, b] = [light(rgb(style.color)), light(behind(element))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
        if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5))
            weak.push(element.tagName + ' ' + element.className + ' ' + ratio.toFixed(2) + ' ' + element.textContent.slice(0, 30));
    }
    return weak;";

fn sign_in(browser: &Browser, port: &str) {
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.says(&["Sign in"]);
    browser.fill("#token", OPERATOR);
    browser.press("Sign in");
    browser.says(&["Overview", "Signed in: operator"]);
}

/// Takes a picture if pictures are asked for.
fn picture(browser: &Browser, name: &str) {
    let Some(folder) = std::env::var_os("DAYFOLD_PICTURES").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    browser.picture(&folder.join(format!("page-{name}.png")));
}

async fn some_of_everything(db: &Database) {
    insert_samples(db, 3, 40).await;
    db.execute(
        "INSERT INTO user_profiles (user_id, time_zone, source_priority) VALUES (7, 'Europe/Berlin', '{phone,watch}');
         INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at) VALUES
             (7, 'steps', 600, '{steps}', 'watch', '2024-05-01 10:00Z', '2024-05-01 11:00Z'),
             (7, 'steps', 900, '{steps}', 'phone', '2024-05-01 10:30Z', '2024-05-01 11:30Z'),
             (7, 'steps', 80, '{steps}', 'phone', '2024-05-01 21:30Z', '2024-05-01 22:30Z'),
             (7, 'steps', 30, '{steps}', 'watch', '2024-05-01 12:00Z', '2024-05-01 12:10Z'),
             (7, 'steps', 40, '{steps}', 'watch', '2024-05-01 12:00Z', '2024-05-01 12:10Z'),
             (7, 'heart_rate', 61, 'bpm', 'watch', '2024-05-01 10:00Z', '2024-05-01 10:00Z'),
             (7, 'heart_rate', 6100, 'bpm', 'watch', '2024-05-01 10:01Z', '2024-05-01 10:01Z'),
             (7, 'heart_rate', 64, 'bpm', 'watch', '2024-05-01 10:02Z', '2024-05-01 10:02Z');
         INSERT INTO nutrition_raw (user_id, food_name, meal_type, eaten_at, source, energy_kcal, protein_g)
         VALUES (7, 'soup', 'lunch', '2024-05-01 12:00Z', 'app', 300, 12);
         INSERT INTO lab_raw (user_id, test_name, value_text, unit, status, collected_at, source)
         VALUES (7, 'ferritin', '30', 'ug/L', 'final', '2024-05-01 08:00Z', 'lab'),
                (7, 'ferritin', '31', 'ug/L', 'corrected', '2024-05-01 08:00Z', 'lab')",
    )
    .await;
}

async fn some_failures(db: &Database) {
    db.execute(
        "INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, state, not_before, queued_at, attempts, last_error)
         SELECT 'vitals', 100 + n, '2024-05-01', '2024-05-01', ARRAY[n, n + 1000], 'dead', 'infinity', now() - interval '3 h', 5,
                'refused 23514 vitals_daily vitals_daily_mean_check'
         FROM generate_series(1, 20) AS n;
         INSERT INTO aggregation_queue (kind, user_id, starts_at, ends_at, raw_ids, not_before, queued_at, attempts, last_error)
         SELECT 'nutrition', 100 + n, '2024-05-01', '2024-05-01', ARRAY[n], now() + interval '20 min', now() - interval '10 min', 2, 'timeout 57014'
         FROM generate_series(1, 7) AS n",
    )
    .await;
}

#[tokio::test]
async fn each_view_opens_by_a_click_is_readable_light_dark_narrow_and_without_a_script() {
    let Some(browser) = browser("each_view_opens_by_a_click") else { return };
    let db = Database::new().await;
    some_of_everything(&db).await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    some_failures(&db).await;
    sign_in(&browser, &port);
    let look = |name: &str| {
        for scheme in ["light", "dark"] {
            browser.media("screen", scheme);
            let weak = browser.script(CONTRAST);
            assert_eq!(weak.as_array().map(Vec::len), Some(0), "{name}, {scheme}: {weak:#}");
            picture(&browser, &format!("{name}-{scheme}"));
        }
        browser.media("screen", "light");
        browser.resize(360, 800);
        let overflows = "return document.documentElement.scrollWidth > window.innerWidth";
        assert_eq!(browser.script(overflows), false, "{name} is wider than a narrow screen");
        browser.resize(1280, 900);
    };
    for (view, says) in VIEWS {
        browser.follow(view);
        browser.says(&[says]);
        let current = "return document.querySelector('nav [aria-current=page]').textContent";
        assert_eq!(browser.script(current), view);
        look(&view.to_lowercase().replace(['\'', ' '], "-"));
    }
    browser.follow("User's day");
    browser.fill("#user", "7");
    browser.script("document.getElementById('date').value = '2024-05-01'");
    browser.press("Show");
    browser.says(&[
        "User 7",
        "counts in part",
        "duplicate",
        "cut at midnight",
        "superseded",
        "implausible_value",
    ]);
    browser.says(&["The raw rows give these figures, to the last bit"]);
    look("user-day");

    // The first key leads past the navigation.
    browser.key("\u{E004}");
    assert_eq!(browser.script("return document.activeElement.className"), "skip");
    // The keys reach each control, and each shows that it has the focus.
    browser.follow("Actions");
    browser.says(&["Action log"]);
    browser.script("window.scrollTo(0, 0); document.activeElement.blur()");
    let controls = "return document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary').length";
    let count = browser.script(controls).as_u64().unwrap();
    let mut reached = std::collections::BTreeSet::new();
    for _ in 0..count * 4 {
        browser.key("\u{E004}");
        let shown = browser.script(
            "const e = document.activeElement; const s = getComputedStyle(e);
             const all = Array.from(document.querySelectorAll('a[href], button, input:not([type=hidden]), select, summary'));
             return [all.indexOf(e), s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2]",
        );
        let place = shown[0].as_i64().unwrap();
        assert!(place < 0 || shown[1] == true, "control {place} shows no focus");
        reached.insert(place);
    }
    reached.remove(&-1);
    assert_eq!(reached.len() as u64, count, "{reached:?}");
    // On paper there is no navigation, and nothing is cut off.
    browser.media("print", "light");
    assert_eq!(
        browser.script("return getComputedStyle(document.querySelector('nav')).display"),
        "none"
    );
    browser.media("screen", "light");

    // Times are those of UTC, and by the reader's clock beside them.
    browser.time_zone("America/St_Johns");
    browser.follow("Overview");
    browser.says(&[" UTC (", " GMT-3:30)"]);
    browser.time_zone("UTC");
    browser.follow("Actions");
    browser.follow("Overview");
    browser.says(&[" UTC"]);
    assert_eq!(browser.script("return document.querySelectorAll('.local').length"), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new(), "the browser complains");

    browser.without_script(true);
    for (path, says) in [
        ("/", "Rates of this worker"),
        ("/failures", "vitals_daily_mean_check"),
        ("/runs", "Rows claimed"),
    ] {
        browser.open(&format!("http://127.0.0.1:{port}{path}"));
        browser.says(&[says]);
    }
    service.stops();
}

#[tokio::test]
async fn the_overview_is_live_while_the_database_goes_away_and_comes_back() {
    let Some(browser) = browser("the_overview_is_live") else { return };
    let (mut server, url) = server_of_its_own().await;
    let port = free_port();
    let service = Running::service(worker_at(&url), &[("WORKER__HTTP__PORT", &port)]);
    service.logs("database_ready").await;
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.says(&["closed: the database is used"]);
    browser.script("window.untouched = true");
    {
        let db = database(&url).await;
        db.execute("INSERT INTO paused_kinds (kind, paused_by) VALUES ('vitals', 'the test')")
            .await;
        insert_samples(&db, 3, 7).await;
    }
    browser.says(&["by the test", "21"]);
    let other = Running::service(worker_at(&url), &[]);
    other.logs("database_ready").await;
    so("two workers are alive", || browser.text().matches("alive").count() == 2);
    other.signal("-KILL");
    browser.says(&["not seen"]);

    server.stop(Shutdown::Fast).unwrap();
    browser.says(&["The database cannot be used", "This page shows what was known"]);
    picture(&browser, "outage-light");
    server.start_again().unwrap();
    browser.says(&["closed: the database is used"]);
    so("the notice is gone", || !browser.text().contains("cannot be used"));
    assert_eq!(browser.script("return window.untouched"), true, "the page was loaded once");
    service.stops();
}

#[tokio::test]
async fn each_action_is_confirmed_by_a_click_and_is_in_the_log() {
    let Some(browser) = browser("each_action_is_confirmed") else { return };
    let db = Database::new().await;
    some_of_everything(&db).await;
    let port = free_port();
    let service = served(&db, &port).await;
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;
    some_failures(&db).await;
    sign_in(&browser, &port);

    browser.follow("Actions");
    browser.click("a[href='/actions/confirm?action=pause&kind=labs']");
    browser.says(&["Confirm: pause", "No worker claims rows"]);
    picture(&browser, "confirm-light");
    browser.press("Yes, pause");
    browser.says(&["paused", "Paused."]);
    assert_eq!(db.value::<i64>("SELECT count(*) FROM paused_kinds WHERE kind = 'labs'").await, 1);
    browser.click("a[href='/actions/confirm?action=resume&kind=labs']");
    browser.press("Yes, resume");
    browser.says(&["Resumed."]);

    browser.fill("#rows", "500");
    browser.press("Continue");
    browser.says(&["Confirm: throttle", "500 rows/s"]);
    browser.press("Yes, throttle");
    browser.says(&["500 rows/s"]);

    browser.follow("Failures");
    browser.follow("discard the dead");
    browser.says(&["Confirm: discard", "40 raw rows", "vitals_daily_mean_check"]);
    browser.click("summary");
    browser.script("document.getElementById('limit-from').value = '2024-05-02'");
    browser.press("Count again");
    browser.says(&["dated 2024-05-02 or later (UTC)", "There is nothing to do."]);
    browser.follow("No, go back");
    browser.says(&["Action log"]);
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM aggregation_queue WHERE state = 'dead'").await,
        20
    );
    browser.follow("Failures");
    browser.follow("discard the dead");
    browser.press("Yes, discard");
    browser.says(&["40 raw rows were discarded."]);
    assert_eq!(
        db.value::<i64>("SELECT count(*) FROM aggregation_queue WHERE state = 'dead'").await,
        0
    );

    browser.follow("Failures");
    browser.follow("requeue");
    browser.says(&["Confirm: requeue", "7 raw rows", "timeout"]);
    browser.press("Yes, requeue");
    browser.says(&["7 raw rows are queued again."]);
    eventually(&db, "SELECT count(*) FROM aggregation_queue", 0).await;

    // An action that takes its time shows how far it is, and is stopped by a click.
    let lock = UserLock::hold(&db.url, 7).await;
    db.execute(
        "INSERT INTO vitals_raw (user_id, metric, value, unit, source, started_at, ended_at)
         SELECT 7, 'heart_rate', 60, 'bpm', 'watch', at, at
         FROM generate_series(1, 100) AS n, LATERAL (SELECT timestamptz '2023-01-01 12:00Z' + n * interval '1 day' AS at) AS t;
         DELETE FROM aggregation_queue",
    )
    .await;
    let range = |from: &str, to: &str| {
        browser.fill("#user", "7");
        browser.script(&format!(
            "document.getElementById('from').value = '{from}'; document.getElementById('to').value = '{to}'"
        ));
    };
    range("2023-01-01", "2023-12-31");
    browser.press("Backfill");
    browser.press("Yes, backfill");
    browser.says(&["runs: backfill user 7", "Stop after this step"]);
    // A form keeps its text while the bar beside it moves.
    browser.fill("#class", "timeout");
    assert!(
        browser.script("return document.querySelector('progress').max").as_f64().unwrap() > 100.0
    );
    picture(&browser, "progress-light");
    browser.press("Stop after this step");
    lock.release().await;
    browser.says(&["stopped"]);
    so("the bar is gone", || {
        browser.script("return document.querySelectorAll('progress').length") == 0
    });

    for (button, says) in [("Verify", "0 of them differ"), ("Backfill", "dates computed again")] {
        browser.open(&format!("http://127.0.0.1:{port}/actions"));
        range("2024-05-01", "2024-05-02");
        browser.press(button);
        browser.says(&["user 7, 2024-05-01 to 2024-05-02"]);
        browser.press(&format!("Yes, {}", button.to_lowercase()));
        browser.says(&[says]);
    }
    picture(&browser, "log-light");
    assert_eq!(browser.complaints(), Vec::<String>::new(), "the browser complains");
    browser.press("Sign out");
    browser.says(&["Token"]);
    service.stops();
}
