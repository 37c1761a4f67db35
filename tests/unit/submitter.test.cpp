// SPDX-License-Identifier: MIT
#include <omnibus/submitter.hpp>

#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

namespace {

/// A backend that notes what it gets.
struct Notes {
  VirtualClock time;
  std::vector<Sequence> got;
  std::function<void(Outgoing&)> on_submit = [](Outgoing&) {};

  const Clock& clock() const noexcept { return time; }
  void submit(std::string_view, std::span<Outgoing> messages, const Submit&) {
    for (Outgoing& each : messages) {
      got.push_back(each.message.sequence);
      on_submit(each);
    }
  }
};

/// Likewise, of several messages at once, with the same ending for each of them.
struct AtomicNotes : Notes {
  Result<std::span<const Receipt>> ending = std::span<const Receipt>{};
  void submit_atomic(std::span<const Addressed> messages, const Submit&, AtomicDone done) {
    for (const Addressed& each : messages) got.push_back(each.message.sequence);
    done(ending);
  }
};

struct Publish {
  std::string key;
  Duration delay{};
  Sequence sequence{};
};

void publish(detail::Submitter<Notes>& submitter, const Publish& what, PublishDone done = [](auto) {},
             bool wait_for_room = true) {
  Outgoing outgoing{{}, what.delay, std::move(done)};
  outgoing.message.key = what.key;
  outgoing.message.sequence = what.sequence;
  submitter.submit("t", {&outgoing, 1}, {1s, wait_for_room});
}

}  // namespace

TEST_CASE("where it is wanted, messages with a key are numbered") {
  Notes notes;
  detail::Submitter<Notes> submitter{notes, 10};
  for (const Publish& each : {Publish{"a"}, Publish{"b"}, Publish{"a"}, Publish{""}, Publish{"a", 1s},
                              Publish{"a", {}, {99, 5}}, Publish{"a"}}) {
    publish(submitter, each);
  }
  REQUIRE(notes.got.size() == 7);
  const std::uint64_t epoch = notes.got[0].epoch;
  CHECK(epoch != 0);
  CHECK(notes.got[0] == Sequence{epoch, 0});
  CHECK(notes.got[1] == Sequence{epoch, 0});
  CHECK(notes.got[2] == Sequence{epoch, 1});
  CHECK(notes.got[3] == Sequence{});  // no key
  CHECK(notes.got[4] == Sequence{});  // comes who knows when
  CHECK(notes.got[5] == Sequence{99, 5});  // numbered by hand
  CHECK(notes.got[6] == Sequence{epoch, 2});
}

TEST_CASE("nothing is numbered where it is not wanted") {
  Notes notes;
  detail::Submitter<Notes> submitter{notes, 0};
  publish(submitter, {"a"});
  CHECK(notes.got == std::vector<Sequence>{{}});
}

TEST_CASE("threads that publish one key hand their messages over in the order of the numbers") {
  Notes notes;
  detail::Submitter<Notes> submitter{notes, 10};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&submitter] {
      for (int n = 0; n < 500; ++n) publish(submitter, {"a"});
    });
  }
  for (auto& each : threads) each.join();
  REQUIRE(notes.got.size() == 2000);
  for (std::size_t i = 0; i < notes.got.size(); ++i) {
    if (notes.got[i].number != i) FAIL("place " << i);
  }
}

TEST_CASE("a completion that is called at once may publish") {
  Notes notes;
  detail::Submitter<Notes> submitter{notes, 10};
  notes.on_submit = [](Outgoing& each) { each.done(Receipt{}); };
  publish(submitter, {"a"}, [&](auto) {
    notes.on_submit = [](Outgoing&) {};
    publish(submitter, {"a"});
  });
  REQUIRE(notes.got.size() == 2);
  CHECK(notes.got[1].number == 1);
}

TEST_CASE("who does not wait for room does not wait for others who do") {
  Notes notes;
  detail::Submitter<Notes> submitter{notes, 10};
  Gate full, tried;
  notes.on_submit = [&](Outgoing&) {
    full.open();
    tried.pass();
  };
  std::thread waits{[&] { publish(submitter, {"a"}); }};
  CHECK(full.pass());
  Result<Receipt> ending = Receipt{};
  publish(submitter, {"a"}, [&](Result<Receipt> result) { ending = std::move(result); }, false);
  tried.open();
  waits.join();
  REQUIRE_FALSE(ending);
  CHECK(ending.error().code == Errc::window_full);
  CHECK(notes.got.size() == 1);
}

TEST_CASE("what is published as one is numbered like the rest, also when it fails") {
  AtomicNotes notes;
  notes.time.advance(1us);
  const auto publish_two = [&](detail::Submitter<AtomicNotes>& submitter) {
    std::vector<Addressed> messages{{"t", {}}, {"u", {}}};
    for (Addressed& each : messages) each.message.key = "k";
    std::string ending = "none";
    submitter.submit_atomic(messages, {1s}, [&](const Result<std::span<const Receipt>>& result) {
      ending = result ? "ok" : to_string(result.error().code);
    });
    return ending;
  };
  detail::Submitter<AtomicNotes> plain{notes, 0};
  CHECK(publish_two(plain) == "ok");
  CHECK(notes.got == std::vector<Sequence>{{}, {}});
  notes.got.clear();
  detail::Submitter<AtomicNotes> submitter{notes, 10};
  CHECK(publish_two(submitter) == "ok");
  notes.ending = Error::make(Errc::rejected, "publish");
  CHECK(publish_two(submitter) == "rejected");  // its numbers are missing, as those of a single message are
  CHECK(publish_two(submitter) == "rejected");
  REQUIRE(notes.got.size() == 6);
  CHECK(notes.got[0].epoch > 0);
  for (std::size_t i = 0; i < 6; ++i) CHECK(notes.got[i].number == i / 2);
}
