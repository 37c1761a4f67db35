// SPDX-License-Identifier: MIT
#include "catch.hpp"
#include "story.hpp"

using namespace campaign;

TEST_CASE("P5 flags what comes again and does not say so") {
  SECTION("more often than it was published") {
    Story story;
    story.sent("a0").handled("a0").deliver("a0").settle("a0", Outcome::duplicate);
    CHECK(violated(story) == Violated{Property::unflagged});
  }
  SECTION("after a fault that was over before it was published") {
    Story story;
    story.fault("broker").heal("broker").sent("a0").handled("a0").deliver("a0");
    CHECK(violated(story) == Violated{Property::unflagged});
  }
  SECTION("at one position, in one generation of a partition") {
    Story story{"order=strict"};
    story.sent("a0").handled("a0", {.major = 7, .generation = 1});
    story.deliver("a0", {.major = 7, .generation = 1});
    CHECK(violated(story) == Violated{Property::unflagged});
  }
}

TEST_CASE("P5 passes") {
  Story story;
  story.sent("z9").handled("z9", {.major = 1, .generation = 1});
  SECTION("a duplicate that says so, without a second effect") {
    story.sent("a0").handled("a0");
    story.consumer = 2;
    story.deliver("a0", {.attempt = 2}).settle("a0", Outcome::duplicate);
  }
  SECTION("a second copy of what was published twice") {
    story.publish("a0").ending("a0", Outcome::unknown).sent("a0").handled("a0").deliver("a0");
  }
  SECTION("a second copy of what was sent again because of a fault") {
    story.publish("a0").fault("broker").heal("broker").ending("a0", Outcome::ok);
    story.handled("a0").deliver("a0");
  }
  SECTION("a second copy of what was cut short by a kill during a fault") {
    story.publish("a0").fault("broker").handled("a0").deliver("a0");
  }
  SECTION("a second copy because it was redriven") {
    story.sent("a0").buried("a0").by("campaign").say(Kind::redrive, "a0").handled("a0");
  }
  SECTION("the same position in another generation, or another process") {
    story.sent("a0").sent("a0").sent("a0").handled("a0", {.major = 2, .generation = 1});
    story.deliver("a0", {.major = 2, .generation = 2});
    story.consumer = 2;
    story.deliver("a0", {.major = 2, .generation = 2});
  }
  SECTION("another try at the same position") {
    story.sent("a0").deliver("a0", {.major = 2, .generation = 1}).finish("a0", Outcome::failed);
    story.handled("a0", {.attempt = 2, .major = 2, .generation = 1});
  }
  CHECK(holds(story, Property::unflagged));
}

TEST_CASE("P5 does not judge by number where a broker marks nothing") {
  Story story{"idempotent"};
  story.sent("a0").handled("a0").deliver("a0").settle("a0", Outcome::duplicate);
  CHECK(violated(story).empty());
}

TEST_CASE("P6 flags a further effect") {
  Story story;
  story.sent("a0").handled("a0");
  SECTION("of the same process") { story.handled("a0", {.attempt = 2}); }
  SECTION("of another one") {
    story.consumer = 2;
    story.handled("a0", {.attempt = 2});
  }
  const Report report = story.report();
  CHECK(violated(report) == Violated{Property::effects});
  CHECK(report.totals.duplicated == 1);
}

TEST_CASE("P6 passes") {
  Story story;
  SECTION("two deliveries with one effect") {
    story.sent("a0").deliver("a0");
    story.consumer = 2;
    story.handled("a0", {.attempt = 2});
  }
  SECTION("one effect in each of two groups") {
    story.by("mailer").add({.kind = Kind::join, .topic = "orders", .group = "mail", .note = "idempotent"});
    story.sent("a0").handled("a0").effect("a0", {.group = "mail"});
  }
  SECTION("an effect after a redrive") {
    story.sent("a0").buried("a0").by("campaign").say(Kind::redrive, "a0").handled("a0");
  }
  CHECK(holds(story, Property::effects));
}

TEST_CASE("P6 does not judge a group that is not idempotent, but counts") {
  Story story{"order=strict"};
  story.sent("a0").handled("a0").handled("a0", {.attempt = 2});
  const Report report = story.report();
  CHECK(violated(report).empty());
  CHECK(report.totals.duplicated == 1);
}

TEST_CASE("P7 flags a key out of order") {
  SECTION("an effect after that of a later message, and jumped over") {
    Story story;
    story.sent("a0").sent("a1").handled("a1").handled("a0");
    const Report report = story.report();
    CHECK(violated(report) == Violated{Property::order, Property::skipped});
    CHECK(report.totals.disordered == 1);
  }
  SECTION("begun in order, ended out of order") {
    Story story;
    story.sent("a0").sent("a1").deliver("a0").finish("a0", Outcome::failed);
    story.handled("a1").handled("a0", {.attempt = 2});
    CHECK(violated(story) == Violated{Property::order});
  }
  SECTION("a dead letter after a later effect") {
    Story story;
    story.sent("a0").sent("a1").deliver("a0").finish("a0", Outcome::permanent).handled("a1");
    story.say(Kind::dead_letter, "a0").settle("a0", Outcome::buried);
    CHECK(violated(story) == Violated{Property::order});
  }
  SECTION("in parked order, an effect while an earlier one is parked") {
    Story story{"order=parked"};
    story.sent("a0").sent("a1").buried("a0").handled("a1");
    CHECK(violated(story) == Violated{Property::order});
  }
  SECTION("in parked order, one redriven before an earlier one") {
    Story story{"order=parked"};
    story.sent("a0").sent("a1").buried("a0").buried("a1");
    story.by("campaign").say(Kind::redrive, "a0").say(Kind::redrive, "a1");
    story.handled("a1", {.attempt = 2}).handled("a0", {.attempt = 2});
    CHECK(violated(story) == Violated{Property::order});
  }
  SECTION("two at a time") {
    Story story;
    story.sent("a0").sent("a1").deliver("a0").deliver("a1").effect("a0").effect("a1");
    CHECK(violated(story) == Violated{Property::order});
  }
}

TEST_CASE("P7 passes") {
  Story story;
  SECTION("keys among each other") {
    story.sent("a0").sent("b1").handled("b1").handled("a0");
  }
  SECTION("two keys at a time") {
    story.sent("a0").sent("b0").deliver("a0").deliver("b0").effect("b0").effect("a0");
  }
  SECTION("a replay after a crash") {
    story.sent("a0").sent("a1").handled("a0").deliver("a1");
    story.consumer = 2;
    story.deliver("a0", {.attempt = 2}).settle("a0", Outcome::duplicate).handled("a1", {.attempt = 2});
  }
  SECTION("one that another process takes over from one that is frozen") {
    story.sent("a0").sent("a1").deliver("a0");
    story.consumer = 2;
    story.handled("a0", {.attempt = 2}).handled("a1");
  }
  SECTION("one that begins when its partition is back, while a handler of before still runs") {
    story.sent("a0").sent("a1").deliver("a0", {.generation = 1}).effect("a0");
    story.deliver("a1", {.generation = 2}).effect("a1");
  }
  SECTION("numbers that are missing because their publish was refused") {
    story.sent("a0").publish("a1").ending("a1", Outcome::failed).sent("a2").handled("a0").handled("a2");
  }
  SECTION("a later one after an earlier one's dead letter, and that redriven") {
    story.sent("a0").sent("a1").buried("a0").handled("a1");
    story.by("campaign").say(Kind::redrive, "a0").handled("a0");
  }
  CHECK(holds(story, Property::order));
}

TEST_CASE("P7 passes parked letters that are redriven in order") {
  Story story{"order=parked"};
  story.sent("a0").sent("a1").buried("a0").buried("a1");
  story.by("campaign").say(Kind::redrive, "a0").say(Kind::redrive, "a1");
  story.handled("a0", {.attempt = 2}).handled("a1", {.attempt = 2}).sent("a2").handled("a2");
  CHECK(holds(story, Property::order));
}

TEST_CASE("P7 and P13 count a late message of unknown ending, and do not flag it") {
  Story story;
  story.publish("a0").ending("a0", Outcome::unknown).sent("a1").handled("a1");
  SECTION("as it is") { story.handled("a0"); }
  SECTION("published again, and ok") { story.sent("a0").handled("a0"); }
  const Report report = story.report();
  CHECK(violated(report).empty());
  CHECK(report.totals.late_unknown == 1);
  CHECK(report.totals.disordered == 0);
}

TEST_CASE("P7 and P13 do not judge relaxed order") {
  Story story{"order=relaxed"};
  story.sent("a0").sent("a1").deliver("a1").deliver("a0").effect("a1").effect("a0");
  CHECK(violated(story).empty());
}

TEST_CASE("P13 flags a message that was jumped over, and came later") {
  Story story;
  story.sent("a0").sent("a1").sent("a2").handled("a0").deliver("a2").finish("a2", Outcome::failed);
  story.handled("a1").handled("a2", {.attempt = 2});
  const Report report = story.report();
  CHECK(violated(report) == Violated{Property::skipped});
  CHECK(report[Property::skipped].violations == 1);
}

TEST_CASE("P13 passes") {
  Story story;
  SECTION("what was refused, is unknown, or has no ending") {
    story.publish("a0").ending("a0", Outcome::failed).publish("a1").ending("a1", Outcome::unknown);
    story.publish("a2");
    story.producer = 2;
    story.sent("a3").handled("a3");
  }
  SECTION("what became a dead letter before a handler saw it") {
    story.sent("a0").sent("a1").by("consumer").say(Kind::dead_letter, "a0").handled("a1");
  }
  SECTION("what came to another process") {
    story.sent("a0").sent("a1").handled("a0");
    story.consumer = 2;
    story.handled("a1");
  }
  SECTION("what is still with a process that is frozen") {
    story.sent("a0").sent("a1").deliver("a0");
    story.consumer = 2;
    story.deliver("a1").by("consumer", 1).say(Kind::effect, "a0").effect("a1");
  }
  SECTION("a replay that begins in the middle") {
    story.sent("a0").sent("a1").sent("a2").handled("a0").handled("a1").deliver("a2");
    story.consumer = 2;
    story.deliver("a1", {.attempt = 2}).settle("a1", Outcome::duplicate).handled("a2", {.attempt = 2});
  }
  CHECK(holds(story, Property::skipped));
}
