//! A shared roster group of a thousand: as far as a script cannot be that long.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use testkit::runner::Stage;
use testkit::settings::GUARDS;
use testkit::single::Single;
use xml::Element;

const DOMAIN: &str = "verona.example";
const PASSWORD: &str = "watch";
const ROSTER: &str = "jabber:iq:roster";

#[tokio::test(start_paused = true)]
async fn a_thousand_know_each_other() {
    let single = Single::start().await.unwrap();
    let names: Vec<String> = (0..GUARDS).map(|at| format!("guard{at}")).collect();
    single.create_accounts(&names, DOMAIN, PASSWORD).await.unwrap();
    let mut clients = Vec::new();
    for name in ["guard0", "guard500", "guard999"] {
        let mut client = single.connect(0).await.unwrap();
        client.log_in(name, DOMAIN, PASSWORD, "gate").await.unwrap();
        client
            .write(b"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            .await
            .unwrap();
        let answer = client.element().await.unwrap();
        let items = answer.child(ROSTER, "query").unwrap().children();
        let is_friend = |item: &&Element| item.attribute("subscription") == Some("both");
        assert_eq!(items.filter(is_friend).count(), GUARDS - 1, "{name}");
        client.write(b"<presence/>").await.unwrap();
        clients.push((name, client));
    }
    for (name, client) in &mut clients {
        for other in ["guard0", "guard500", "guard999"].iter().filter(|other| *other != name) {
            let from = format!("{other}@{DOMAIN}/gate");
            loop {
                let element = client.element().await.unwrap();
                if element.name() == "presence" && element.attribute("from") == Some(&from) {
                    break;
                }
            }
        }
    }
}
