// SPDX-License-Identifier: MIT
#include <omnibus/event_store/aggregate.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <variant>
#include <vector>

#include <omnibus/event_store/memory.hpp>

#include "catch.hpp"
#include "unit/tools.hpp"

using namespace omnibus;
using namespace omnibus::unit;

// ── an account, its events, and their codecs: a number as text ───────────────────────────────────

namespace bank {

struct Deposited {
  int amount = 0;
};
struct Withdrawn {
  int amount = 0;
};

struct Account {
  using Events = EventTypes<Deposited, Withdrawn>;
  int balance = 0;
};
void evolve(Account& account, const Deposited& event) { account.balance += event.amount; }
void evolve(Account& account, const Withdrawn& event) {
  if (event.amount == 13) throw std::runtime_error{"unlucky"};
  account.balance -= event.amount;
}

/// Likewise, with snapshots.
struct Kept {
  using Events = Account::Events;
  int balance = 0;
};
void evolve(Kept& account, const Deposited& event) { account.balance += event.amount; }
void evolve(Kept& account, const Withdrawn& event) { account.balance -= event.amount; }

/// Likewise, of a later version of the program, which counts in hundredths.
struct KeptLater : Kept {};
void evolve(KeptLater& account, const Deposited& event) { account.balance += 100 * event.amount; }
void evolve(KeptLater& account, const Withdrawn& event) { account.balance -= 100 * event.amount; }

/// Remembers what it does not know.
struct Raw {
  using Events = EventTypes<Deposited, StoredEvent>;
  int balance = 0;
  std::string others;
};
void evolve(Raw& account, const Deposited& event) { account.balance += event.amount; }
void evolve(Raw& account, const StoredEvent& event) { account.others += std::string{event.type} + " "; }

Result<Withdrawn> withdraw(const Account& account, int amount) {
  if (account.balance < amount) return permanent("there are " + std::to_string(account.balance));
  return Withdrawn{amount};
}
auto withdrawing(int amount) {
  return [amount](const Account& account) { return withdraw(account, amount); };
}
auto depositing(int amount) {
  return [amount](const auto&) { return Deposited{amount}; };
}

template <class E>
struct AmountCodec {
  static void encode(const E& event, std::string& out) {
    if (event.amount == 666) throw std::runtime_error{"will not write it"};
    out += std::to_string(event.amount);
  }
  static Result<E> decode(std::string_view bytes) { return E{std::stoi(std::string{bytes})}; }
};
template <class A>
struct BalanceCodec {
  static void encode(const A& account, std::string& out) { out += std::to_string(account.balance); }
  static Result<A> decode(std::string_view bytes) {
    A account;
    account.balance = std::stoi(std::string{bytes});
    return account;
  }
};

}  // namespace bank

template <>
struct omnibus::Codec<bank::Deposited> : bank::AmountCodec<bank::Deposited> {
  static constexpr std::string_view type = "deposited";
};
template <>
struct omnibus::Codec<bank::Withdrawn> : bank::AmountCodec<bank::Withdrawn> {
  static constexpr std::string_view type = "withdrawn";
};
template <>
struct omnibus::Codec<bank::Kept> : bank::BalanceCodec<bank::Kept> {
  static constexpr std::string_view type = "account.v1";
};
template <>
struct omnibus::Codec<bank::KeptLater> : bank::BalanceCodec<bank::KeptLater> {
  static constexpr std::string_view type = "account.v2";
};

using namespace bank;

namespace {

/// A memory store that does something before an append, or answers otherwise.
struct Tricky {
  static constexpr EventStoreCapabilities capabilities = MemoryEventStore::capabilities;
  using Parts = std::span<const StreamAppend>;
  Result<Appended> append(Parts batch) {
    ++appends;
    if (!before.empty()) {
      const auto next = std::move(before.front());
      before.pop_front();
      next();
    }
    Result<Appended> done = store.append(batch);
    if (done && lost_answers > 0) {
      --lost_answers;
      return Error::make(Errc::outcome_unknown, "append", "the connection is gone");
    }
    return done;
  }
  Result<StreamRead> read_stream(std::string_view name, const ReadRange& range, EventPage& page) {
    ++reads;
    if (reads == 2 && at_second_read) at_second_read();
    return store.read_stream(name, range, page);
  }
  Result<StoreRead> read_category(std::string_view name, const EventQuery& query, const ReadRange& range,
                                  EventPage& page) {
    return store.read_category(name, query, range, page);
  }
  Result<StoreRead> read_all(const EventQuery& query, const ReadRange& range, EventPage& page) {
    return store.read_all(query, range, page);
  }
  Result<std::optional<Placed>> locate(std::string_view id) { return store.locate(id); }
  Result<> truncate(std::string_view stream, std::uint64_t to) { return store.truncate(stream, to); }
  Result<> soft_delete(std::string_view stream, ExpectedVersion expected) { return store.soft_delete(stream, expected); }
  Result<> tombstone(std::string_view stream, ExpectedVersion expected) { return store.tombstone(stream, expected); }
  bool wait_beyond(std::uint64_t position, Instant until) { return store.wait_beyond(position, until); }

  MemoryEventStore store;
  std::deque<std::function<void()>> before;
  std::function<void()> at_second_read;
  int appends = 0, reads = 0, lost_answers = 0;
};

void add(auto& store, std::string_view stream, std::string_view id, std::string_view type, std::string_view payload,
         Time time = {}) {
  const NewEvent event{id, type, payload, {}, {}, time};
  REQUIRE(append(store, stream, ExpectedVersion::any(), {&event, 1}));
}
std::vector<std::string> ids(auto& store, std::string_view stream) {
  EventPage page;
  REQUIRE(store.read_stream(stream, {}, page));
  std::vector<std::string> found;
  for (const StoredEvent& each : page) found.emplace_back(each.id);
  return found;
}
bool mentions(const Error& error, std::string_view what) {
  INFO(error.message());
  return error.message().find(what) != std::string::npos;
}
constexpr Time noon{std::chrono::hours{12}};

}  // namespace

// ── commands ─────────────────────────────────────────────────────────────────────────────────────

TEST_CASE("a command appends what is decided, and answers with the state that it makes") {
  MemoryEventStore store;
  const Aggregate accounts{store, Account{}};
  const auto first = accounts.execute("account-1", depositing(50)).value();
  CHECK(first.state.balance == 50);
  CHECK(first.version == 1);
  CHECK(first.appended.state == Appended::State::appended);
  const auto second = accounts.execute("account-1", withdrawing(20)).value();
  CHECK(second.state.balance == 30);
  CHECK(second.appended.events == std::vector<Placed>{{2, 2}});
  CHECK(accounts.load("account-1").value().state.balance == 30);
  CHECK(accounts.load("account-2").value().version == 0);
  CHECK(Aggregate{store, Account{1000}}.load("account-1").value().state.balance == 1030);
}

TEST_CASE("what a decision refuses is answered as it is, and nothing is appended") {
  MemoryEventStore store;
  const Aggregate accounts{store, Account{}};
  const auto refused = accounts.execute("account-1", withdrawing(1));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().context == "there are 0");
  CHECK_FALSE(refused.error().retryable);
  const auto thrown = accounts.execute("account-1", [](const Account&) -> Deposited { throw std::runtime_error{"no"}; });
  CHECK(thrown.error().code == Errc::handler_failed);
  const auto busy = accounts.execute(
      "account-1", [](const Account&) -> Result<Deposited> { return Error::make(Errc::conflict, "decide", "mine"); });
  CHECK(busy.error().message() == "decide: mine (conflict)");  // not tried again
  CHECK(accounts.load("account-1").value().version == 0);
}

TEST_CASE("a decision has one event, several of any type, or none") {
  MemoryEventStore store;
  const Aggregate accounts{store, Account{}};
  using Any = std::variant<Deposited, Withdrawn>;
  const auto run = [&](auto decide) { return accounts.execute("account-1", decide).value(); };
  CHECK(run([](const Account&) { return std::tuple{Deposited{9}, Withdrawn{1}}; }).state.balance == 8);
  CHECK(run([](const Account&) { return std::vector<Any>{Withdrawn{2}, Deposited{4}}; }).state.balance == 10);
  CHECK(run([](const Account&) { return Result<std::vector<Deposited>>{std::vector{Deposited{1}}}; }).version == 5);
  CHECK(run([](const Account&) -> Any { return Withdrawn{1}; }).state.balance == 10);
  const auto none = run([](const Account&) { return std::optional<Deposited>{}; });
  CHECK(none.version == 6);
  CHECK(none.appended.events.empty());
  CHECK(accounts.load("account-1").value().state.balance == 10);
}

TEST_CASE("when others were first, it is decided again on what is there then") {
  Tricky store;
  const Aggregate accounts{store, Account{}};
  accounts.execute("account-1", depositing(50)).value();
  int decisions = 0;
  const auto take = [&](const Account& account) {
    ++decisions;
    return withdraw(account, 30);
  };
  store.before = {[&] { add(store.store, "account-1", "w", "withdrawn", "25"); }};
  const auto refused = accounts.execute("account-1", take);
  CHECK(decisions == 2);
  CHECK(mentions(refused.error(), "there are 25"));

  store.before = {[&] { add(store.store, "account-1", "d", "deposited", "25"); }};
  CHECK(accounts.execute("account-1", withdrawing(20)).value().state.balance == 30);
  CHECK(ids(store, "account-1").size() == 4);
}

TEST_CASE("a command gives up after so many attempts, and says that it may be tried again") {
  Tricky store;
  const Aggregate accounts{store, Account{}, {.attempts = 3}};
  int others = 0;
  const auto other = [&] { add(store.store, "account-1", std::to_string(++others), "deposited", "1"); };
  store.before = {other, other, other, other};
  const auto beaten = accounts.execute("account-1", depositing(5));
  REQUIRE_FALSE(beaten);
  CHECK(beaten.error().code == Errc::conflict);
  CHECK(beaten.error().retryable);
  CHECK(mentions(beaten.error(), "gave up after 3 attempts"));
  CHECK(store.appends == 3);
}

TEST_CASE("a command that comes again is not decided again") {
  MemoryEventStore store;
  const Aggregate accounts{store, Account{}};
  const auto twice = [](const Account&) { return std::tuple{Deposited{5}, Deposited{6}}; };
  const auto first = accounts.execute("account-1", twice, {.id = "c-1"}).value();
  CHECK(ids(store, "account-1") == std::vector<std::string>{"c-1", "c-1#2"});
  accounts.execute("account-1", depositing(1)).value();

  const auto never = [](const Account&) -> Result<Deposited> { return permanent("was asked"); };
  const auto again = accounts.execute("account-1", never, {.id = "c-1"}).value();
  CHECK(again.appended == Appended{Appended::State::already_appended, first.appended.events});
  CHECK(again.state.balance == 12);  // that of now
  CHECK(again.version == 3);

  const auto elsewhere = accounts.execute("account-2", depositing(1), {.id = "c-1"});
  CHECK(elsewhere.error().code == Errc::id_reused);
  CHECK(accounts.load("account-2").value().version == 0);
  CHECK(accounts.execute("account-1", never, {.id = "c-2"}).error().context == "was asked");

  CHECK(store.truncate("account-1", 2));  // also of one whose events were erased
  CHECK(store.locate("c-1").value().has_value());
  CHECK(accounts.execute("account-1", never, {.id = "c-1"}).error().code == Errc::position_lost);
}

TEST_CASE("the same command from two at once is done once, also when they decide otherwise") {
  Tricky store;
  const Aggregate accounts{store, Account{}};
  const Aggregate other{store.store, Account{}};
  for (const int their : {5, 7}) {
    const std::string id = "c-" + std::to_string(their);
    store.before = {[&] { other.execute("account-1", depositing(their), {.id = id}).value(); }};
    const auto done = accounts.execute("account-1", depositing(5), {.id = id}).value();
    CHECK(done.appended.state == Appended::State::already_appended);
    CHECK(done.state.balance == (their == 5 ? 5 : 12));
  }
  CHECK(ids(store, "account-1") == std::vector<std::string>{"c-5", "c-7"});
}

TEST_CASE("an append whose answer was lost is not made twice") {
  for (const std::string_view id : {"", "c-1"}) {
    Tricky store;
    const Aggregate accounts{store, Account{}};
    store.lost_answers = 1;
    const auto done = accounts.execute("account-1", depositing(5), {.id = id}).value();
    CHECK(done.state.balance == 5);
    CHECK(ids(store, "account-1").size() == 1);
  }
  {  // also where it could not be decided a second time
    Tricky store;
    const Aggregate accounts{store, Account{50}};
    store.lost_answers = 1;
    CHECK(accounts.execute("account-1", withdrawing(50)).value().state.balance == 0);
  }
  Tricky store;
  store.lost_answers = 1;
  const Aggregate accounts{store, Account{}, {.attempts = 1}};
  const auto unknown = accounts.execute("account-1", depositing(5), {.id = "c-1"});
  CHECK(unknown.error().code == Errc::outcome_unknown);
  CHECK(unknown.error().retryable);
  CHECK(accounts.execute("account-1", depositing(5), {.id = "c-1"}).value().state.balance == 5);
}

TEST_CASE("many who command one stream at once lose nothing") {
  MemoryEventStore store;
  const Aggregate accounts{store, Account{}, {.attempts = 10'000}};
  constexpr int threads = 4, each = 100;
  std::vector<std::thread> all;
  std::atomic<int> failed{0};
  for (int i = 0; i < threads; ++i) {
    all.emplace_back([&] {
      for (int n = 0; n < each; ++n) failed += accounts.execute("account-1", depositing(1)) ? 0 : 1;
    });
  }
  for (std::thread& thread : all) thread.join();
  CHECK(failed == 0);
  CHECK(accounts.load("account-1").value().state.balance == threads * each);
}

TEST_CASE("events carry what is known of the command") {
  MemoryEventStore store;
  const Aggregate accounts{store, Account{}};
  const Headers headers{{"traceparent", "00-1"}};
  const std::string_view tags[] = {"customer:7"};
  accounts.execute("account-1", depositing(1), {.id = "c", .time = noon, .metadata = headers, .tags = tags}).value();
  EventPage page;
  REQUIRE(store.read_stream("account-1", {}, page));
  CHECK(page[0].type == "deposited");
  CHECK(page[0].payload == "1");
  CHECK(page[0].time == noon);
  CHECK(page[0].metadata.get("traceparent") == "00-1");
  CHECK(page[0].tags[0] == "customer:7");
  CHECK(accounts.execute("account-1", depositing(666)).error().code == Errc::encode_failed);
}

// ── states ───────────────────────────────────────────────────────────────────────────────────────

TEST_CASE("a state as of a version or of a moment is what it was then") {
  MemoryEventStore store;
  for (int i = 1; i <= 5; ++i) {
    add(store, "account-1", std::to_string(i), "deposited", "1", noon + std::chrono::minutes{i});
  }
  const Aggregate accounts{store, Account{}, {.page = 2}};
  for (std::uint64_t last = 0; last <= 5; ++last) {
    const auto then = accounts.load("account-1", {.version = last}).value();
    CHECK(then.state.balance == static_cast<int>(last));
    CHECK(then.version == last);
  }
  CHECK(accounts.load("account-1", {.version = 99}).value().version == 5);
  CHECK(accounts.load("account-1", {.time = noon}).value().version == 0);
  CHECK(accounts.load("account-1", {.time = noon + 3min}).value().version == 3);
  CHECK(accounts.load("account-1", {.time = noon + 3min + 59s}).value().version == 3);
  CHECK(accounts.load("account-1", {.version = 2, .time = noon + 3min}).value().version == 2);
  // What was told late is not before what was known then.
  add(store, "account-1", "late", "deposited", "1", noon + 2min);
  CHECK(accounts.load("account-1", {.time = noon + 3min}).value().version == 3);
}

TEST_CASE("a state is never made of a part of its events") {
  MemoryEventStore store;
  for (int i = 1; i <= 4; ++i) add(store, "account-1", std::to_string(i), "deposited", "1", noon);
  const Aggregate accounts{store, Account{}};
  REQUIRE(store.truncate("account-1", 3));
  CHECK(accounts.load("account-1").error().code == Errc::position_lost);
  CHECK(mentions(accounts.load("account-1").error(), "below version 3"));
  CHECK(accounts.execute("account-1", depositing(1)).error().code == Errc::position_lost);

  REQUIRE(store.soft_delete("account-1", ExpectedVersion::any()));
  CHECK(accounts.load("account-1").value().state.balance == 0);
  CHECK(accounts.execute("account-1", depositing(7), {.time = noon}).value().version == 5);
  CHECK(accounts.load("account-1").value().state.balance == 7);
  CHECK(accounts.load("account-1", {.version = 3}).error().code == Errc::position_lost);
  CHECK(accounts.load("account-1", {.time = noon - 1s}).error().code == Errc::position_lost);
  CHECK(accounts.load("account-1", {.time = noon}).value().state.balance == 7);

  REQUIRE(store.tombstone("account-1", ExpectedVersion::any()));
  CHECK(accounts.load("account-1").error().code == Errc::stream_deleted);
  CHECK(accounts.execute("account-1", depositing(1)).error().code == Errc::stream_deleted);
}

TEST_CASE("a stream that begins again while it is read is read again") {
  Tricky store;
  for (int i = 1; i <= 3; ++i) add(store, "account-1", std::to_string(i), "deposited", "1");
  store.at_second_read = [&] {
    REQUIRE(store.store.soft_delete("account-1", ExpectedVersion::any()));
    add(store.store, "account-1", "new", "deposited", "100");
  };
  const Aggregate accounts{store, Account{}, {.page = 2}};
  CHECK(accounts.load("account-1").value().state.balance == 100);
}

TEST_CASE("what cannot be read is said with its event") {
  MemoryEventStore store;
  const Aggregate accounts{store, Account{}};
  add(store, "account-1", "a", "deposited", "many");
  add(store, "account-2", "b", "withdrawn", "13");
  add(store, "account-3", "c", "renamed", "");
  const Error undecoded = accounts.load("account-1").error();
  CHECK(undecoded.code == Errc::decode_failed);
  CHECK(mentions(undecoded, "at event a of stream account-1, version 1, position 1"));
  const Error thrown = accounts.load("account-2").error();
  CHECK(thrown.code == Errc::handler_failed);
  CHECK(mentions(thrown, "unlucky, at event b"));
  const Error unknown = accounts.load("account-3").error();
  CHECK(unknown.code == Errc::unknown_type);
  CHECK(mentions(unknown, "\"renamed\""));
}

TEST_CASE("a type that is not known fails, is skipped, or is given raw") {
  MemoryEventStore store;
  add(store, "account-1", "a", "deposited", "5");
  add(store, "account-1", "b", "renamed", "");
  add(store, "account-1", "c", "deposited", "6");
  CHECK_FALSE(Aggregate{store, Account{}}.load("account-1"));
  CHECK(Aggregate{store, Account{}, {.unknown = UnknownType::skip}}.load("account-1").value().state.balance == 11);
  const auto raw = Aggregate{store, Raw{}}.load("account-1").value();
  CHECK(raw.state.balance == 11);
  CHECK(raw.state.others == "renamed ");
}

TEST_CASE("old events are upcast before they reach a state") {
  MemoryEventStore store;
  add(store, "account-1", "a", "paid_in", "5");
  add(store, "account-1", "b", "moved", "3");
  Upcasts upcasts;
  upcasts.rename("paid_in", "deposited").add("moved", [](const StoredEvent& old, Successors& into) -> Result<> {
    into.add("deposited", std::string{old.payload});
    return into.add(Withdrawn{1});
  });
  const Aggregate accounts{store, Account{}, {.upcasts = upcasts}};
  const auto loaded = accounts.load("account-1").value();
  CHECK(loaded.state.balance == 7);
  CHECK(loaded.version == 2);
}

// ── snapshots ────────────────────────────────────────────────────────────────────────────────────

TEST_CASE("with a codec of the state, what a snapshot holds is not read again") {
  MemoryEventStore store;
  const Aggregate accounts{store, Kept{}, {.snapshot_every = 10}};
  for (int i = 0; i < 25; ++i) accounts.execute("account-1", depositing(1)).value();
  const auto loaded = accounts.load("account-1").value();
  CHECK(loaded.state.balance == 25);
  CHECK(loaded.version == 25);
  CHECK(loaded.read == 5);  // since the one of version 20
  CHECK(accounts.load("account-1", {.version = 22}).value().read == 2);
  CHECK(accounts.load("account-1", {.version = 12}).value().read == 12);
  CHECK(accounts.load("account-1", {.version = 12}).value().state.balance == 12);
  CHECK(Aggregate{store, Account{}}.load("account-1").value().read == 25);
  CHECK(Aggregate{store, Kept{}, {.snapshot_every = 0}}.load("account-1").value().read == 25);
}

TEST_CASE("a snapshot of another version of the state, or one that cannot be read, is ignored") {
  MemoryEventStore store;
  const Aggregate accounts{store, Kept{}, {.snapshot_every = 2}};
  for (int i = 0; i < 5; ++i) accounts.execute("account-1", depositing(1)).value();
  REQUIRE(accounts.load("account-1").value().read < 5);
  CHECK(Aggregate{store, KeptLater{}}.load("account-1").value().state.balance == 500);

  REQUIRE(store.save_snapshot("account-1", "account.v1", {5, "broken"}).value());
  CHECK(accounts.load("account-1").value().state.balance == 5);
  CHECK(accounts.load("account-1").value().read == 5);
}

TEST_CASE("a snapshot stands for events that were truncated, and not for a life that ended") {
  MemoryEventStore store;
  const Aggregate accounts{store, Kept{}, {.snapshot_every = 2}};
  for (int i = 0; i < 4; ++i) accounts.execute("account-1", depositing(1)).value();
  REQUIRE(store.truncate("account-1", 3));
  CHECK(accounts.load("account-1").value().state.balance == 4);
  REQUIRE(store.soft_delete("account-1", ExpectedVersion::any()));
  CHECK(accounts.execute("account-1", depositing(7)).value().state.balance == 7);
}

TEST_CASE("options of an aggregate that can never work are refused by name") {
  MemoryEventStore store;
  CHECK(throws_saying<std::invalid_argument>([&] { Aggregate a{store, Account{}, {.attempts = 0}}; }, "attempts"));
  CHECK(throws_saying<std::invalid_argument>([&] { Aggregate a{store, Account{}, {.page = 0}}; }, "page"));
}
