//! What a person sees when a counter's disk fails, and that nothing acknowledged is lost.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use system_tests::http::number;
use system_tests::{Edge, Journey, Ran, Trip, World, settle, story, until};

const SEATS: u64 = 40;
const CONTACT_DEADLINE: Duration = Duration::from_mins(1);
/// Sales that a full disk may still find room for.
const TRIES: usize = 30;

/// One counter with a lease on one trip.
struct Shop<'p> {
    world: World<'p>,
    edge: Edge,
    trip: Trip,
    tickets: BTreeSet<String>,
    sales: usize,
}

impl<'p> Shop<'p> {
    fn new(place: &'p system_tests::Place) -> Result<Self> {
        let mut world = World::new(place)?;
        let trip = world.hub.trips_from("LUN")?.remove(0);
        let edge = world.station("LUN")?;
        world.stock(&edge, "LUN", std::slice::from_ref(&trip), SEATS)?;
        Ok(Self {
            world,
            edge,
            trip,
            tickets: BTreeSet::new(),
            sales: 0,
        })
    }

    fn journey(&self) -> Journey {
        Journey {
            trip: self.trip.id,
            from: self.trip.stops[0].clone(),
            to: self.trip.stops[1].clone(),
            adults: 1,
        }
    }

    fn sell_as(&mut self, id: &str) -> Result<()> {
        let sold = self.edge.sell(id, &self.journey())?;
        self.tickets
            .extend(sold.tickets.into_iter().map(|(id, _)| id));
        self.sales += 1;
        Ok(())
    }

    fn sell(&mut self) -> Result<()> {
        let id = self.world.dice.uuid();
        self.sell_as(&id)
    }

    fn settle(&self) -> Result<()> {
        self.world.drain(&self.edge)?;
        settle(&self.world.hub, self.sales, &self.tickets)
    }
}

fn start_must_fail_saying(edge: &Edge, words: &[&str]) -> Result<()> {
    Ran::of(&mut edge.run_command())?.must_fail_saying(words)
}

#[test]
fn a_damaged_sales_file_stops_the_counter_and_what_the_hub_has_is_safe() -> Result<()> {
    story(|place| {
        let mut shop = Shop::new(place)?;
        for _ in 0..3 {
            shop.sell()?;
        }
        shop.edge.stop()?;
        let file = shop.edge.data().join("node.sqlite");
        let good = std::fs::read(&file)?;
        let mut damaged = good.clone();
        for byte in damaged.iter_mut().skip(4096) {
            *byte = 0xA5;
        }
        std::fs::write(&file, &damaged)?;
        let advice = [
            "sell nothing on this device",
            "copy its whole folder",
            "call the office",
        ];
        start_must_fail_saying(&shop.edge, &advice)?;
        std::fs::write(&file, &good[..good.len() / 2])?;
        start_must_fail_saying(&shop.edge, &advice)?;
        std::fs::write(&file, "a shopping list, saved over the sales ".repeat(500))?;
        let advice = ["is not a sales file", "Check the folder", "call the office"];
        start_must_fail_saying(&shop.edge, &advice)?;
        // The office puts the copy back: nothing is missing, and selling goes on.
        std::fs::write(&file, &good)?;
        shop.edge.start()?;
        shop.sell()?;
        shop.settle()
    })
}

#[test]
fn without_its_sidecar_a_counter_sells_nothing_until_contact_and_then_anew() -> Result<()> {
    story(|place| {
        let mut shop = Shop::new(place)?;
        shop.sell()?;
        shop.world.drain(&shop.edge)?;
        shop.world.relay.cut()?;
        shop.sell()?;
        shop.edge.stop()?;
        std::fs::remove_file(shop.edge.data().join("log-head"))?;
        shop.edge.start()?;
        let id = shop.world.dice.uuid();
        let refused = shop.edge.try_sell(&id, &shop.journey())?;
        refused.must_refuse(409, &["log-head", "reached the hub once", "Connect it"])?;
        let status = shop.edge.status()?;
        ensure!(status["blocked"].is_string(), "not blocked: {status}");
        shop.world.relay.mend()?;
        until("the hub to let the counter sell", CONTACT_DEADLINE, || {
            let status = shop.edge.status()?;
            let incarnation = number(&status, "incarnation")?;
            let free = status["blocked"].is_null() && incarnation == 2;
            Ok(free.then_some(()).ok_or_else(|| status.to_string()))
        })?;
        // What it held before is nobody's to sell from; with a new lease it sells again.
        let old = shop
            .edge
            .try_sell(&shop.world.dice.uuid(), &shop.journey())?;
        ensure!(old.status == 409, "sold from an old lease: {}", old.body);
        let journey = shop.journey();
        let id = shop.world.dice.uuid();
        shop.edge
            .lease(&id, journey.trip, (&journey.from, &journey.to), 2)?;
        if shop.edge.status()?["shift"].is_null() {
            shop.edge.open_shift(&shop.world.dice.uuid())?;
        }
        shop.sell()?;
        shop.settle()
    })
}

/// A device whose data folder is a small file system, which only its process sees.
struct SmallDisk {
    seen_from_here: PathBuf,
}

impl SmallDisk {
    /// The command that moves `edge` onto a disk of 1 MiB and runs it there.
    fn command(edge: &Edge) -> Command {
        const MOVE: &str = "set -e; data=$1; shift; cp -a \"$data\" \"$data.copy\"; \
             mount -t tmpfs -o size=1m,mode=700 none \"$data\"; \
             cp -a \"$data.copy/.\" \"$data/\"; exec \"$@\"";
        let mut command = Command::new("unshare");
        if nix::unistd::geteuid().is_root() {
            command.arg("--mount");
        } else {
            command.args(["--user", "--map-root-user", "--mount"]);
        }
        let run = edge.run_command();
        command.args(["sh", "-c", MOVE, "sh"]).arg(edge.data());
        command.arg(run.get_program()).args(run.get_args());
        command
    }

    fn of(edge: &Edge) -> Result<Self> {
        let root = PathBuf::from(format!("/proc/{}/root", edge.pid()?));
        let data = edge.data().strip_prefix("/").context("an absolute path")?;
        Ok(Self {
            seen_from_here: root.join(data),
        })
    }

    fn ballast(&self) -> PathBuf {
        self.seen_from_here.join("holiday-pictures")
    }

    /// Fills it to the last byte.
    fn fill(&self) -> Result<()> {
        let mut file = File::create(self.ballast())?;
        for chunk in [64 * 1024, 4096, 512, 1] {
            while file.write_all(&vec![0; chunk]).is_ok() {}
        }
        Ok(())
    }

    fn make_room(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.ballast())?)
    }
}

fn is_there(path: &Path) -> bool {
    path.join("node.sqlite").is_file()
}

#[test]
fn a_full_disk_refuses_the_sale_keeps_the_others_and_sells_again_with_room() -> Result<()> {
    story(|place| {
        let mut shop = Shop::new(place)?;
        shop.edge.stop()?;
        shop.edge.start_as(SmallDisk::command(&shop.edge))?;
        let disk = SmallDisk::of(&shop.edge)?;
        ensure!(is_there(&disk.seen_from_here), "not on the small disk");
        shop.sell()?;
        shop.world.relay.cut()?;
        disk.fill()?;
        let mut refused = None;
        for _ in 0..TRIES {
            let id = shop.world.dice.uuid();
            let answer = shop.edge.try_sell(&id, &shop.journey())?;
            if answer.status != 200 {
                refused = Some((id, answer));
                break;
            }
            let sold = system_tests::Sold::of(&answer.good()?)?;
            shop.tickets
                .extend(sold.tickets.into_iter().map(|(id, _)| id));
            shop.sales += 1;
        }
        let (id, answer) = refused.context("a full disk took every sale")?;
        let advice = [
            "disk is full",
            "nothing was lost",
            "Free some space and try again",
        ];
        answer.must_refuse(507, &advice)?;
        let kept: BTreeSet<String> = shop.edge.ticket_ids()?.into_iter().collect();
        ensure!(
            kept == shop.tickets,
            "{kept:?} instead of {:?}",
            shop.tickets
        );
        disk.make_room()?;
        shop.sell_as(&id)?;
        shop.sell()?;
        shop.world.relay.mend()?;
        shop.settle()
    })
}
