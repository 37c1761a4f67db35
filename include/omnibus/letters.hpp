// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <omnibus/event_bus.hpp>
#include <omnibus/letter.hpp>
#include <omnibus/letter_pass.hpp>
#include <omnibus/limits.hpp>
#include <omnibus/parked_store.hpp>
#include <omnibus/subscription_spec.hpp>

// DeadLetters<Backend>: what an operator does with dead letters. Not part of omnibus.hpp: services write
// dead letters, tools read them.

namespace omnibus {

/// The group in which dead letters are read. What it has settled is gone for whoever reads in it; other
/// groups of a dead-letter topic go their own way.
inline constexpr std::string_view letters_group = "omnibus.letters";

/// Reads, redrives and discards the letters of a dead-letter topic.
///
///     ob::DeadLetters letters{bus, "orders.dlq"};
///     const std::vector<ob::LetterCount> counts = letters.count_by_reason().value();
///     letters.redrive_key("o-17").ending.value();
///
/// Looking takes nothing: the letters stay, in their order. On RabbitMQ it is done by a member of the
/// group, so that one who looks and one who redrives there get in each other's way: one at a time. There,
/// what was written before any group had read the topic belongs to the first group that does.
/// Redriving publishes the message that a letter was made of to the topic where it came from, for all of
/// that topic's groups, with id, type, key, payload, time and headers as they were and the header
/// `omnibus-redriven`; its attempts count from one again. The letter is settled when the broker has
/// confirmed that: at least once. A redrive that is killed repeats what it had not settled: at most
/// `window` letters, and on Kafka those of the last `commit_interval`.
/// Order: letters of one key are redriven in their order.
/// Of letters that are left, each backend holds the place: on Kafka in the group's commit, up to 24,000
/// letters behind the first one that is left in a partition (what is redriven farther behind may come
/// twice); on RabbitMQ up to 65,535 in a queue are passed by, and those behind them not seen.
/// Thread safety: distinct objects: safe; a redrive beside another one shares the work, as members of a
/// group do. Blocks: every member but the constructor, until it has come to its end.
/// Lifetime: the bus must outlive it.
template <Backend B>
class DeadLetters {
  static_assert(B::capabilities.groups && B::capabilities.redelivers,
                "omnibus: this backend keeps no dead letters. Choose a backend whose capabilities say "
                "groups and redelivers");

  using Verdict = typename LetterPass<B>::Verdict;

 public:
  using Options = LetterOptions;

  /// Errors: throws std::invalid_argument for names that no broker takes.
  template <class Observer>
  DeadLetters(EventBus<B, Observer>& bus, std::string topic,
              std::string group = std::string{letters_group})
      : backend_{bus.backend()}, topic_{std::move(topic)}, group_{std::move(group)} {
    if (!is_topic_name(topic_)) {
      throw std::invalid_argument{"omnibus: dead letters: topic \"" + topic_ + "\" is no topic name"};
    }
    if (!is_topic_name(group_)) {
      throw std::invalid_argument{"omnibus: dead letters: group \"" + group_ + "\" is no name"};
    }
  }
  /// With the store that the subscriptions have as `parked_in`: what is discarded is taken out of it first,
  /// so that a key whose letters are all gone is free. A subscription that has the key sees it when the key's
  /// next message comes, a second after it has looked at the latest. Lifetime: the store must outlive it.
  template <class Observer>
  DeadLetters(EventBus<B, Observer>& bus, std::string topic, ParkedStore& parked_in,
              std::string group = std::string{letters_group})
      : DeadLetters{bus, std::move(topic), std::move(group)} {
    parked_ = &parked_in;
  }

  // ── looking ────────────────────────────────────────────────────────────────────────────────────

  /// Shows each letter to `visit`, a callable bool(const LetterView&), until it returns false.
  template <class Visit>
  LetterReport scan(Visit visit, Options options = {}) {
    options.per_second = 0;
    options.limit = 0;
    LetterPass<B> pass{backend_, spec(Use::look), std::move(options)};
    return pass.run([&visit](const LetterView& letter) {
      return visit(letter) ? Verdict::settle : Verdict::enough;
    });
  }

  /// A page of at most `count` letters: the first one, or the one behind another, from its `next`.
  /// Memory: the letters of the page. Order: that of each partition. A scan: it goes over the letters
  /// before the page as well. Errors: what kept the broker from answering.
  Result<LetterPage> list(std::size_t count, const LetterCursor& from = {}, Options options = {}) {
    LetterPage page{{}, from};
    LetterCursor seen;
    const LetterReport report = scan(
        [&](const LetterView& letter) {
          if (page.letters.size() >= count) return false;
          if (from.is_behind(letter, seen)) return true;
          page.letters.emplace_back(letter);
          page.next.note(letter);
          return page.letters.size() < count;
        },
        std::move(options));
    if (!report.ending) return report.ending.error();
    return page;
  }

  /// The first letter of this message. Errors: not_found; what kept the broker from answering.
  Result<Letter> find(std::string_view id, Options options = {}) {
    std::optional<Letter> found;
    const LetterReport report = scan(
        [&](const LetterView& letter) {
          if (letter.message.id == id) found.emplace(letter);
          return !found;
        },
        std::move(options));
    if (found) return *std::move(found);
    if (!report.ending) return report.ending.error();
    return no_letter(id);
  }

  /// How many letters died of what. Errors: what kept the broker from answering.
  Result<std::vector<LetterCount>> count_by_reason(Options options = {}) {
    LetterCensus census;
    const LetterReport report = scan(
        [&census](const LetterView& letter) {
          census.add(letter);
          return true;
        },
        std::move(options));
    if (!report.ending) return report.ending.error();
    return census.counts();
  }

  // ── acting ─────────────────────────────────────────────────────────────────────────────────────

  /// Redrives the letters for which `meant`, a callable bool(const LetterView&), is true.
  /// Errors, in the report's `ending`: of the first publish that was not confirmed. What was refused for
  /// good is left, with the later letters of its key, and the others go on; what may pass ends the pass.
  template <class Meant>
  LetterReport redrive(Meant meant, Options options = {}) {
    return act(Verdict::redrive, std::move(meant), std::move(options));
  }
  LetterReport redrive_all(Options options = {}) { return redrive(any_letter(), std::move(options)); }
  LetterReport redrive_key(std::string key, Options options = {}) {
    return redrive(letters_of_key(std::move(key)), std::move(options));
  }
  /// Redrives the first letter of this message. Errors as above, and: not_found; invalid_argument when
  /// it does not say where it came from.
  LetterReport redrive_one(const std::string& id, Options options = {}) {
    return one(Verdict::redrive, id, std::move(options));
  }

  /// Settles the letters for which `meant` is true: they are gone. Errors, in the report's `ending`: of the
  /// store of parked keys, which ends the pass; the letter is left.
  template <class Meant>
  LetterReport discard(Meant meant, Options options = {}) {
    return act(Verdict::settle, std::move(meant), std::move(options));
  }
  /// Discards the first letter of this message. Errors: not_found.
  LetterReport discard_one(const std::string& id, Options options = {}) {
    return one(Verdict::settle, id, std::move(options));
  }

 private:
  SubscriptionSpec spec(Use use) const {
    SubscriptionSpec spec{topic_, group_, {}, Order::strict, 1024};
    spec.use = use;
    return spec;
  }

  template <class Meant>
  LetterReport act(Verdict verdict, Meant meant, Options options) {
    LetterPass<B> pass{backend_, spec(Use::pick), std::move(options)};
    Result<> freed;
    LetterReport report = pass.run([&](const LetterView& letter) {
      return meant(letter) ? agreed(verdict, letter, freed) : Verdict::leave;
    });
    if (!freed) report.ending = std::move(freed);
    return report;
  }
  /// What is discarded is not waited for. When the store cannot be told, the pass is over.
  Verdict agreed(Verdict verdict, const LetterView& letter, Result<>& freed) {
    if (verdict != Verdict::settle || parked_ == nullptr) return verdict;
    const auto removed =
        parked_->remove({letter.died.group, letter.died.topic}, letter.message.key, letter.message.id);
    if (removed) return verdict;
    freed = removed.error();
    return Verdict::enough;
  }

  LetterReport one(Verdict verdict, const std::string& id, Options options) {
    bool found = false;
    Result<> freed;
    LetterPass<B> pass{backend_, spec(Use::pick), std::move(options)};
    LetterReport report = pass.run([&](const LetterView& letter) {
      if (found) return Verdict::enough;
      found = letter.message.id == id;
      return found ? agreed(verdict, letter, freed) : Verdict::leave;
    });
    if (!freed) report.ending = std::move(freed);
    if (report.ending && report.without_origin > 0) {
      report.ending =
          Error::make(Errc::invalid_argument, "redrive " + id,
                      "the letter does not say which topic it came from; read it and publish it there");
    } else if (report.ending && !found) {
      report.ending = no_letter(id);
    }
    return report;
  }

  Error no_letter(std::string_view id) const {
    return Error::make(Errc::not_found, "look for " + std::string{id},
                       "no letter of this message stands in " + topic_);
  }

  B& backend_;
  const std::string topic_;
  const std::string group_;
  ParkedStore* parked_ = nullptr;
};

}  // namespace omnibus
