// SPDX-License-Identifier: MIT
#include <string>
#include <vector>

#include "catch.hpp"
#include "story.hpp"

using namespace campaign;

TEST_CASE("P12 flags two messages at one position") {
  Story story;
  SECTION("as they are delivered") {
    story.sent("a0").sent("b0").handled("a0", {.major = 5}).handled("b0", {.major = 5});
  }
  SECTION("as receipts say") {
    story.publish("a0").ending("a0", Outcome::ok, {.major = 5}).handled("a0");
    story.publish("b0").ending("b0", Outcome::ok, {.major = 5}).handled("b0");
  }
  SECTION("as a receipt and a delivery say") {
    story.publish("a0").ending("a0", Outcome::ok, {.major = 5}).handled("a0");
    story.sent("b0").handled("b0", {.major = 5});
  }
  CHECK(violated(story) == Violated{Property::position});
}

TEST_CASE("P12 passes") {
  Story story;
  story.sent("a0").sent("b0").handled("a0", {.major = 5, .minor = 1});
  SECTION("one message at one position twice") {
    story.deliver("a0", {.attempt = 2, .major = 5, .minor = 1}).handled("b0");
  }
  SECTION("one message at two positions") {
    story.deliver("a0", {.attempt = 2, .major = 6}).handled("b0");
  }
  SECTION("another partition") { story.handled("b0", {.partition = 1, .major = 5, .minor = 1}); }
  SECTION("another half of a position") { story.handled("b0", {.major = 5, .minor = 2}); }
  SECTION("a topic that was made anew") {
    story.by("campaign").add({.kind = Kind::recreate, .topic = "orders"});
    story.handled("b0", {.major = 5, .minor = 1});
  }
  CHECK(holds(story, Property::position));
}

TEST_CASE("P12 flags a message at more positions than it was published") {
  Story story{"once"};
  story.sent("a0").handled("a0", {.major = 5});
  SECTION("twice") { story.deliver("a0", {.major = 6}); }
  SECTION("and not when it comes again") {
    story.deliver("a0", {.attempt = 2, .major = 5}).deliver("a0", {.minor = 5});
  }
  SECTION("in another partition") { story.deliver("a0", {.partition = 1, .major = 5}); }
  SECTION("redriven once, and there twice") {
    story.by("campaign").say(Kind::redrive, "a0").deliver("a0", {.major = 6}).deliver("a0", {.major = 7});
  }
  CHECK(violated(story) == Violated{Property::position});
}

TEST_CASE("P12 passes a message that is published once") {
  Story story{"once"};
  story.sent("a0").handled("a0", {.major = 5});
  SECTION("and comes again") {
    story.deliver("a0", {.attempt = 2, .major = 5}).deliver("a0", {.attempt = 3, .major = 5});
  }
  SECTION("and again by its user") {
    story.sent("a0").deliver("a0", {.major = 6}).deliver("a0", {.attempt = 2, .major = 5});
  }
  SECTION("and redriven") { story.by("campaign").say(Kind::redrive, "a0").deliver("a0", {.major = 6}); }
  CHECK(holds(story, Property::position));
}

TEST_CASE("P12 passes whatever comes while a topic is deleted") {
  Story story{"once"};
  story.sent("a0").sent("a1").handled("a0", {.major = 5}).by("campaign");
  story.add({.kind = Kind::erase, .topic = "orders"}).sent("b0").handled("b0", {.major = 5});
  story.handled("a1", {.major = 5}).by("campaign").add({.kind = Kind::recreate, .topic = "orders"});
  SECTION("and what comes again later") { story.deliver("b0", {.attempt = 2, .major = 7}); }
  SECTION("and a position that is used again") { story.sent("c0").handled("c0", {.major = 5}); }
  CHECK(holds(story, Property::position));
}

TEST_CASE("P14 flags what does not go on") {
  const Limits limits{.recovery = 100 * Story::ms, .stall = 1000 * Story::ms};
  Story story;
  SECTION("a publish that is ok too late after healing") {
    story.fault("broker").heal("broker").publish("a0").wait(200).ending("a0", Outcome::ok).handled("a0");
  }
  SECTION("of one that was waiting for it") {
    story.publish("a0").fault("broker").heal("broker").wait(200).ending("a0", Outcome::ok).handled("a0");
  }
  SECTION("nothing is ok any more") {
    story.sent("b0").handled("b0").fault("broker").heal("broker");
    story.publish("a0").wait(200).ending("a0", Outcome::unknown);
  }
  SECTION("a consumer that stands still with a backlog") {
    story.sent("a0").sent("b0").handled("a0").wait(2000).handled("b0");
  }
  SECTION("or long after it was healed") {
    story.sent("a0").fault("consumer").wait(2000).heal("consumer").wait(2000).handled("a0");
  }
  CHECK(violated(story.report(limits)) == Violated{Property::liveness});
}

TEST_CASE("P14 passes") {
  const Limits limits{.recovery = 100 * Story::ms, .stall = 1000 * Story::ms};
  Story story;
  SECTION("a publish that is ok soon after healing") {
    story.fault("broker").heal("broker").publish("a0").wait(50).ending("a0", Outcome::ok).handled("a0");
  }
  SECTION("nobody has anything to publish for a while") {
    story.fault("broker").heal("broker").wait(2000).sent("a0").handled("a0");
  }
  SECTION("the next fault comes before anything could be ok") {
    story.fault("broker").heal("broker").publish("a0").fault("broker").wait(200);
    story.ending("a0", Outcome::ok).heal("broker").handled("a0");
  }
  SECTION("a fault is healed, but not the other one") {
    story.fault("broker").fault("proxy").heal("broker").publish("a0").wait(200);
    story.ending("a0", Outcome::ok).heal("proxy").handled("a0");
  }
  SECTION("whoever waited was killed") {
    story.publish("a0").fault("producer");
    story.producer = 2;
    story.by("producer", 2).add({.kind = Kind::begin}).heal("producer").wait(2000).sent("b0").handled("b0");
  }
  SECTION("a consumer without a backlog") {
    story.sent("a0").handled("a0").wait(2000).sent("b0").handled("b0");
  }
  SECTION("a consumer that stands still during a fault") {
    story.sent("a0").fault("consumer").wait(2000).heal("consumer").handled("a0");
  }
  SECTION("a fault after the healing of nothing") {
    story.heal("broker").sent("a0").fault("broker").wait(2000).handled("a0").heal("broker");
  }
  SECTION("a consumer that drops what it gets") {
    story.sent("a0").deliver("a0").settle("a0", Outcome::dropped).wait(2000).sent("b0").handled("b0");
  }
  SECTION("an effect before the publish has ended") {
    story.publish("a0").handled("a0").ending("a0", Outcome::ok).wait(2000).sent("b0").handled("b0");
  }
  CHECK(holds(story, Property::liveness, limits));
}

TEST_CASE("P14 says how long the slowest recovery took") {
  Story story;
  story.fault("broker").heal("broker").publish("a0").wait(50).ending("a0", Outcome::ok).handled("a0");
  CHECK(story.report().totals.slowest_recovery == 51 * Story::ms);
}

TEST_CASE("P15 flags what exceeds its limit") {
  Story story;
  story.sent("a0").handled("a0").add({.kind = Kind::gauge, .number = 64, .value = 65, .note = "threads"});
  CHECK(violated(story) == Violated{Property::bounds});
}

TEST_CASE("P15 passes") {
  Story story;
  story.sent("a0").handled("a0");
  story.add({.kind = Kind::gauge, .value = 65, .note = "not limited"});
  story.add({.kind = Kind::gauge, .number = 64, .value = 64, .note = "threads"});
  CHECK(holds(story, Property::bounds));
}

TEST_CASE("P17 flags a secret in a log") {
  Report report;
  find_secrets("broker.log", "connect to amqp://user:hunter2@host", {"sesame", "hunter2"}, report);
  CHECK(violated(report) == Violated{Property::secrets});
  REQUIRE(report[Property::secrets].examples.size() == 1);
  // The report does not repeat it.
  CHECK(report[Property::secrets].examples[0] == "secret 2 stands in broker.log at byte 23");
}

TEST_CASE("P17 passes") {
  Report report;
  find_secrets("broker.log", "connect to amqp://user:***@host, hunter 2", {"sesame", "hunter2", ""}, report);
  CHECK(report[Property::secrets].judged == 1);
  CHECK(violated(report).empty());
}
