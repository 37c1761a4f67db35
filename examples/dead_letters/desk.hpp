// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <csignal>
#include <iostream>
#include <latch>
#include <omnibus/letters.hpp>
#include <omnibus/omnibus.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

#include "options.hpp"

// The commands of the dead-letter tool, on any backend.

namespace letters {

namespace ob = omnibus;

inline volatile std::sig_atomic_t interrupted = 0;

/// A payload or a reason as one line of at most 60 characters, whatever its bytes are.
inline std::string one_line(std::string_view bytes) {
  std::string line{bytes.substr(0, 60)};
  for (char& c : line) {
    if (c < ' ' || c > '~') c = '?';
  }
  return bytes.size() > 60 ? line + "..." : line;
}

template <ob::Backend B>
class Desk {
 public:
  Desk(ob::EventBus<B>& bus, const Options& options)
      : bus_{bus}, options_{options}, letters_{bus, options.topic} {}

  /// Carries out a command. Returns the exit code.
  int run(std::string_view command) {
    if (options_.demo > 0) make_letters(options_.demo);
    if (command == "list") return list();
    if (command == "count") return count();
    if (command == "show") return show(options_.id);
    if (command == "redrive") return act("redriven", options_, &Desk::redrive);
    if (command == "discard") return act("discarded", options_, &Desk::discard);
    if (command == "tour") return tour();
    throw std::invalid_argument{"there is no command \"" + std::string{command} + "\"; see --help"};
  }

 private:
  int list() {
    const std::size_t page_size = options_.limit > 0 && options_.limit < 100 ? options_.limit : 100;
    std::size_t shown = 0;
    const auto report = letters_.scan([&](const ob::LetterView& letter) {
      std::cout << letter.message.id << "  key " << one_line(letter.message.key) << "  "
                << letter.died.attempts << " attempts  " << one_line(letter.died.reason) << '\n';
      if (++shown % page_size == 0) std::cout.flush();
      return interrupted == 0 && (options_.limit == 0 || shown < options_.limit);
    });
    report.ending.value();
    std::cout << shown << " letters\n";
    return 0;
  }

  int count() {
    const auto counts = letters_.count_by_reason().value();
    for (const ob::LetterCount& each : counts) {
      std::cout << each.letters << " of " << each.topic << " in " << each.group << ": "
                << one_line(each.reason) << " (" << each.code << ")\n";
    }
    if (counts.empty()) std::cout << "no letters\n";
    return 0;
  }

  int show(const std::string& id) {
    const ob::Letter letter = letters_.find(id).value();
    std::cout << "id " << letter.message.id << ", key " << one_line(letter.message.key) << ", type "
              << one_line(letter.message.type) << '\n';
    for (const ob::Header header : letter.message.headers) {
      std::cout << "  " << header.name << ": " << one_line(header.value) << '\n';
    }
    std::cout << one_line(letter.message.payload) << '\n';
    return 0;
  }

  ob::LetterReport redrive(const Options& options, ob::LetterOptions how) {
    if (!options.id.empty()) return letters_.redrive_one(options.id, std::move(how));
    if (!options.key.empty()) return letters_.redrive_key(options.key, std::move(how));
    return letters_.redrive_all(std::move(how));
  }
  ob::LetterReport discard(const Options& options, ob::LetterOptions how) {
    if (!options.id.empty()) return letters_.discard_one(options.id, std::move(how));
    if (!options.key.empty()) return letters_.discard(ob::letters_of_key(options.key), std::move(how));
    return letters_.discard(ob::any_letter(), std::move(how));
  }

  int act(std::string_view done, const Options& options,
          ob::LetterReport (Desk::*action)(const Options&, ob::LetterOptions)) {
    auto next = std::chrono::steady_clock::now();
    const ob::LetterReport report = (this->*action)(
        options, {.per_second = options.rate,
                  .limit = options.limit,
                  .progress = [&](const ob::LetterReport& so_far) {
                    if (const auto now = std::chrono::steady_clock::now(); now >= next) {
                      std::cerr << done << ' ' << so_far.done << ", passed by " << so_far.left << '\n';
                      next = now + std::chrono::milliseconds{500};
                    }
                    return interrupted == 0;
                  }});
    std::cout << done << ' ' << report.done << ", left " << report.left + report.refused;
    if (report.without_origin > 0) std::cout << ", of unknown origin " << report.without_origin;
    std::cout << '\n';
    if (report.ending) return 0;
    std::cerr << report.ending.error().message() << "; what is left stands where it stood\n";
    return 1;
  }

  /// All commands on letters of its own.
  int tour() {
    if (options_.demo == 0) make_letters(6);
    Options chosen;
    int worst = list() | count() | show("order-1");
    chosen.id = "order-1";
    worst |= act("redriven", chosen, &Desk::redrive);
    chosen.id.clear();
    chosen.key = "customer-2";
    worst |= act("discarded", chosen, &Desk::discard);
    worst |= act("redriven", {}, &Desk::redrive);
    return worst | count();
  }

  /// Lets a handler fail on orders, so that their dead letters stand in the topic.
  void make_letters(std::size_t number) {
    std::latch ended{static_cast<std::ptrdiff_t>(number)};
    const auto failing = bus_.subscribe("orders", [](const ob::Delivery& delivery) -> ob::Result<> {
      return ob::permanent(std::string{delivery.payload()} + " cannot be charged");
    } | ob::dead_letter(options_.topic) | [&ended](ob::Next next, ob::Delivery& delivery) {
      ob::Result<> result = next(delivery);
      if (delivery.dead_lettered()) ended.count_down();
      return result;
    });
    failing.wait_registered().value();
    for (std::size_t i = 1; i <= number; ++i) {
      const std::string id = "order-" + std::to_string(i);
      const std::string payload = i % 3 == 0 ? "a gift" : "a card";
      bus_.publish("orders", payload, {.key = "customer-" + std::to_string(i % 3), .id = id}).value();
    }
    ended.wait();
  }

  ob::EventBus<B>& bus_;
  const Options& options_;
  ob::DeadLetters<B> letters_;
};

/// Carries out the command on one backend.
template <ob::Backend B>
int serve(const Options& options) {
  typename ob::EventBus<B>::Config config;
  config.group = "billing";
  if (!options.endpoint.empty()) config.endpoint = options.endpoint;
  ob::EventBus<B> bus{std::move(config)};
  return Desk<B>{bus, options}.run(options.command);
}

}  // namespace letters
