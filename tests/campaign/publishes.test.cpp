// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "story.hpp"

using namespace campaign;

namespace {

/// Without a hash.
constexpr Record delivery_of_a0{.kind = Kind::deliver,
                                .id = "a0",
                                .topic = "orders",
                                .group = "billing",
                                .key = "a",
                                .attempt = 1};

}  // namespace

TEST_CASE("P1 flags what was ok and was not processed") {
  Story story;
  SECTION("never delivered") { story.sent("a0").sent("b0").handled("b0"); }
  SECTION("delivered, and no more") { story.sent("a0").deliver("a0"); }
  SECTION("called a duplicate where nobody has done it: marked before the handler") {
    story.sent("a0").deliver("a0").settle("a0", Outcome::duplicate);
    CHECK(violated(story) == Violated{Property::lost, Property::settled_early});
    return;
  }
  SECTION("processed by one group of two") {
    story.by("mailer").add({.kind = Kind::join, .topic = "orders", .group = "mail"});
    story.sent("a0").handled("a0");
  }
  SECTION("after an unknown publish, one of the same id was ok") {
    story.publish("a0").ending("a0", Outcome::unknown).sent("a0");
  }
  const Report report = story.report();
  CHECK(violated(report) == Violated{Property::lost});
  CHECK(report.totals.lost == 1);
}

TEST_CASE("P1 flags what no group reads") {
  Timeline timeline;
  for (const Kind kind : {Kind::publish, Kind::ending}) {
    timeline.add({.kind = kind, .process = "p", .outcome = kind == Kind::ending ? Outcome::ok : Outcome::none,
                  .id = "x", .topic = "orders"});
  }
  timeline.arrange();
  CHECK(violated(check(timeline)) == Violated{Property::lost});
}

TEST_CASE("P1 passes") {
  Story story;
  SECTION("what was processed after a crash") {
    story.sent("a0").deliver("a0");
    story.consumer = 2;
    story.handled("a0", {.attempt = 2});
  }
  SECTION("what is a dead letter") { story.sent("a0").buried("a0").letter("a0"); }
  SECTION("a dead letter whose writer was killed before it could say so") {
    story.sent("a0").deliver("a0").finish("a0", Outcome::permanent).letter("a0");
  }
  SECTION("what was dropped because the user wrote so") {
    story.sent("a0").deliver("a0").settle("a0", Outcome::dropped);
  }
  SECTION("an unknown publish that did not arrive") {
    story.publish("a0").ending("a0", Outcome::unknown).sent("b0").handled("b0");
  }
  SECTION("a refused publish") {
    story.publish("a0").ending("a0", Outcome::failed).sent("b0").handled("b0");
  }
  SECTION("a publish that was cut short by a kill") {
    story.publish("a0");
    story.producer = 2;
    story.sent("b0").handled("b0");
  }
  CHECK(holds(story, Property::lost));
}

TEST_CASE("P1 flags what was dropped by a group that keeps everything") {
  Story story{"order=strict keeps"};
  story.sent("a0").deliver("a0").settle("a0", Outcome::dropped);
  CHECK(violated(story) == Violated{Property::lost});
}

TEST_CASE("P1 passes what was deleted, and flags what is lost afterwards") {
  Story story;
  story.sent("a0").by("campaign").add({.kind = Kind::erase, .topic = "orders"});
  story.sent("a1").by("campaign");
  SECTION("while its topic is deleted and made anew") {
    story.add({.kind = Kind::recreate, .topic = "orders"});
    story.sent("a2").handled("a2");
    CHECK(holds(story, Property::lost));
  }
  SECTION("and passed over meanwhile") {
    story.sent("a2").handled("a2").by("campaign").add({.kind = Kind::recreate, .topic = "orders"});
    CHECK(holds(story, Property::skipped));
  }
  SECTION("but after that") {
    story.add({.kind = Kind::recreate, .topic = "orders"});
    story.sent("a2");
    CHECK(violated(story) == Violated{Property::lost});
  }
  SECTION("but in another topic") {
    story.add({.kind = Kind::recreate, .topic = "refunds"});
    CHECK(violated(story) == Violated{Property::lost});
  }
  SECTION("but published again") {
    story.add({.kind = Kind::recreate, .topic = "orders"});
    story.sent("a0");
    CHECK(violated(story) == Violated{Property::lost});
  }
}

TEST_CASE("P2 flags what nobody has published") {
  Story story;
  SECTION("delivered") { story.handled("a0"); }
  SECTION("published later") { story.handled("a0").sent("a0"); }
  SECTION("a letter") { story.letter("a0", {.attempt = 3}); }
  CHECK(violated(story) == Violated{Property::phantom});
}

TEST_CASE("P2 passes") {
  Story story;
  SECTION("a delivery before its publish has ended") {
    story.publish("a0").handled("a0").ending("a0", Outcome::ok);
  }
  SECTION("a publish that never ended") { story.publish("a0").handled("a0"); }
  SECTION("an unknown publish that was stored") {
    story.publish("a0").ending("a0", Outcome::unknown).handled("a0");
    const Report report = story.report();
    CHECK(report.totals.unknown == 1);
    CHECK(report.totals.recovered == 1);
    CHECK(violated(report).empty());
    return;
  }
  CHECK(holds(story, Property::phantom));
}

TEST_CASE("P3 flags what was refused and came") {
  Story story;
  SECTION("after the refusal") { story.publish("a0").ending("a0", Outcome::failed).handled("a0"); }
  SECTION("before it") { story.publish("a0").handled("a0").ending("a0", Outcome::failed); }
  SECTION("refused twice") {
    story.publish("a0").ending("a0", Outcome::failed).publish("a0").ending("a0", Outcome::failed);
    story.handled("a0");
  }
  CHECK(violated(story) == Violated{Property::aborted});
}

TEST_CASE("P3 passes") {
  Story story;
  // One that is judged, beside the one that is not to be flagged.
  story.publish("z9").ending("z9", Outcome::failed);
  SECTION("refused at first, then ok") {
    story.publish("a0").ending("a0", Outcome::failed).sent("a0").handled("a0");
  }
  SECTION("unknown at first, then refused") {
    story.publish("a0").ending("a0", Outcome::unknown).publish("a0").ending("a0", Outcome::failed);
    story.handled("a0");
  }
  SECTION("refused at first, then cut short by a kill") {
    story.publish("a0").ending("a0", Outcome::failed).publish("a0").handled("a0");
  }
  CHECK(holds(story, Property::aborted));
}

TEST_CASE("P4 flags what is not what was published") {
  Story story;
  story.sent("a0");
  SECTION("delivered with other bytes") { story.handled("a0", {.hash = 18}); }
  SECTION("a letter with other bytes") {
    story.buried("a0").letter("a0", {.hash = 18});
  }
  SECTION("published again with other bytes") {
    story.say(Kind::publish, "a0", Outcome::none, {.hash = 18}).ending("a0", Outcome::ok).handled("a0");
  }
  SECTION("with another key, number or topic") {
    Record changed = delivery_of_a0;
    SECTION("key") { changed.key = "b"; }
    SECTION("number") { changed.number = 1; }
    SECTION("topic") { changed.topic = "refunds"; }
    story.by("consumer").add(changed).effect("a0");
  }
  CHECK(violated(story) == Violated{Property::integrity});
}

TEST_CASE("P4 passes") {
  Story story;
  story.sent("a0");
  SECTION("the same bytes twice") { story.handled("a0").deliver("a0", {.attempt = 2}); }
  SECTION("bytes that were not recorded") {
    story.by("consumer").add(delivery_of_a0).effect("a0");
  }
  CHECK(holds(story, Property::integrity));
}

TEST_CASE("P11 flags a publish that has not exactly one ending, in time") {
  Story story;
  SECTION("none, and its bus is closed") {
    story.publish("a0").add({.kind = Kind::close});
  }
  SECTION("two") { story.sent("a0").ending("a0", Outcome::unknown).handled("a0"); }
  SECTION("one after its bus was closed") {
    story.publish("a0").add({.kind = Kind::close}).ending("a0", Outcome::unknown);
  }
  SECTION("one that nobody waits for any more") {
    story.publish("a0", 50).wait(200).ending("a0", Outcome::unknown);
  }
  SECTION("late, long after its process was frozen") {
    story.fault("producer").heal("producer").publish("a0", 50).wait(200);
    story.ending("a0", Outcome::unknown);
  }
  SECTION("late, while another process was frozen") {
    story.publish("a0", 50).fault("consumer").heal("consumer").wait(200).ending("a0", Outcome::unknown);
  }
  CHECK(violated(story) == Violated{Property::answered});
}

TEST_CASE("P11 passes") {
  Story story;
  SECTION("all endings before the bus is closed") {
    story.sent("a0").publish("b0").ending("b0", Outcome::unknown).add({.kind = Kind::close});
    story.handled("a0");
  }
  SECTION("no ending, because the process was killed") {
    story.publish("a0");
    story.producer = 2;
    story.sent("b0").add({.kind = Kind::close}).handled("b0");
  }
  SECTION("one for each of two publishes of one id") {
    story.publish("a0").ending("a0", Outcome::unknown).sent("a0").handled("a0");
  }
  SECTION("a little late") {
    story.publish("a0", 50).wait(140).ending("a0", Outcome::unknown);
  }
  SECTION("late, because its process is frozen still, as far as it is recorded") {
    story.publish("a0", 50).fault("producer").wait(200).ending("a0", Outcome::unknown).heal("producer");
  }
  SECTION("late, because its process was frozen") {
    story.publish("a0", 50).fault("producer").wait(200).heal("producer");
    story.ending("a0", Outcome::unknown);
  }
  CHECK(holds(story, Property::answered));
}
