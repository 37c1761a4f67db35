// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "chaos.hpp"

// librdkafka without omnibus: an administrator, a producer of whatever bytes, and an eye on what groups
// have committed.

namespace chaos {

namespace kafka = ob::kafka;

/// A client of librdkafka's with these properties, which reports by events.
inline rd_kafka_t* raw_client(rd_kafka_type_t type,
                              const std::vector<std::pair<std::string, std::string>>& properties = {}) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  char why[256];
  const auto set = [&](const std::string& name, const std::string& value) {
    expect(rd_kafka_conf_set(conf, name.c_str(), value.c_str(), why, sizeof why) == RD_KAFKA_CONF_OK,
           "raw client: ", name);
  };
  rd_kafka_conf_set_log_cb(conf, [](const rd_kafka_t*, int, const char*, const char*) {});
  if (type == RD_KAFKA_PRODUCER) rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR);
  set("bootstrap.servers", KafkaFixture::endpoint());
  for (const auto& [name, value] : properties) set(name, value);
  rd_kafka_t* client = rd_kafka_new(type, conf, why, sizeof why);
  expect(client != nullptr, "raw client: ", why);
  return client;
}

class Raw {
 public:
  using Config = std::vector<std::pair<std::string, std::string>>;
  using Bytes = std::optional<std::string_view>;
  struct RawHeader {
    std::string name;
    Bytes value;
  };

  void create_topic(const std::string& name, int partitions, int replicas = -1,
                    const Config& config = {}) {
    char why[256];
    const kafka::Owned<rd_kafka_NewTopic_t, rd_kafka_NewTopic_destroy> topic{
        rd_kafka_NewTopic_new(name.c_str(), partitions, replicas, why, sizeof why)};
    for (const auto& [key, value] : config) {
      rd_kafka_NewTopic_set_config(topic.get(), key.c_str(), value.c_str());
    }
    rd_kafka_NewTopic_t* topics[]{topic.get()};
    const kafka::Event answer = ask(RD_KAFKA_ADMIN_OP_CREATETOPICS, [&](auto* options, auto* queue) {
      rd_kafka_CreateTopics(client_.get(), topics, 1, options, queue);
    });
    if (const auto made = kafka::created(answer.get()); !made) {
      violated("raw client: ", made.error().message());
    }
  }
  void delete_topic(const std::string& name) {
    const kafka::Owned<rd_kafka_DeleteTopic_t, rd_kafka_DeleteTopic_destroy> topic{
        rd_kafka_DeleteTopic_new(name.c_str())};
    rd_kafka_DeleteTopic_t* topics[]{topic.get()};
    ask(RD_KAFKA_ADMIN_OP_DELETETOPICS, [&](auto* options, auto* queue) {
      rd_kafka_DeleteTopics(client_.get(), topics, 1, options, queue);
    });
  }
  /// What is before this offset goes.
  void delete_records(const std::string& topic, std::int32_t partition, std::int64_t before) {
    const kafka::Offsets offsets = kafka::new_offsets(1);
    rd_kafka_topic_partition_list_add(offsets.get(), topic.c_str(), partition)->offset = before;
    const kafka::Owned<rd_kafka_DeleteRecords_t, rd_kafka_DeleteRecords_destroy> records{
        rd_kafka_DeleteRecords_new(offsets.get())};
    rd_kafka_DeleteRecords_t* all[]{records.get()};
    ask(RD_KAFKA_ADMIN_OP_DELETERECORDS, [&](auto* options, auto* queue) {
      rd_kafka_DeleteRecords(client_.get(), all, 1, options, queue);
    });
  }
  void alter_topic(const std::string& name, const std::string& key, const std::string& value) {
    const kafka::Owned<rd_kafka_ConfigResource_t, rd_kafka_ConfigResource_destroy> resource{
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, name.c_str())};
    rd_kafka_ConfigResource_set_config(resource.get(), key.c_str(), value.c_str());
    rd_kafka_ConfigResource_t* all[]{resource.get()};
    ask(RD_KAFKA_ADMIN_OP_ALTERCONFIGS, [&](auto* options, auto* queue) {
      rd_kafka_AlterConfigs(client_.get(), all, 1, options, queue);
    });
  }

  /// A rule for one user; what it does not name stays as other rules have it.
  struct Rule {
    rd_kafka_ResourceType_t kind;
    std::string name;
    rd_kafka_AclOperation_t operation;
    rd_kafka_AclPermissionType_t permission;
  };
  void add_rules(const std::string& user, const std::vector<Rule>& rules) {
    for (const Rule& rule : rules) {
      char why[256];
      const kafka::Owned<rd_kafka_AclBinding_t, rd_kafka_AclBinding_destroy> binding{
          rd_kafka_AclBinding_new(rule.kind, rule.name.c_str(), RD_KAFKA_RESOURCE_PATTERN_LITERAL,
                                  ("User:" + user).c_str(), "*", rule.operation, rule.permission, why,
                                  sizeof why)};
      expect(binding != nullptr, "raw client: ", why);
      rd_kafka_AclBinding_t* all[]{binding.get()};
      const kafka::Event answer = ask(RD_KAFKA_ADMIN_OP_CREATEACLS, [&](auto* options, auto* queue) {
        rd_kafka_CreateAcls(client_.get(), all, 1, options, queue);
      });
      std::size_t count = 0;
      const auto* results =
          rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(answer.get()), &count);
      expect(count == 1 && rd_kafka_acl_result_error(results[0]) == nullptr, "raw client: no rule");
    }
  }

  void remove_rules(const std::string& user) {
    char why[256];
    const kafka::Owned<rd_kafka_AclBindingFilter_t, rd_kafka_AclBinding_destroy> filter{
        rd_kafka_AclBindingFilter_new(RD_KAFKA_RESOURCE_ANY, nullptr, RD_KAFKA_RESOURCE_PATTERN_ANY,
                                      ("User:" + user).c_str(), nullptr, RD_KAFKA_ACL_OPERATION_ANY,
                                      RD_KAFKA_ACL_PERMISSION_TYPE_ANY, why, sizeof why)};
    expect(filter != nullptr, "raw client: ", why);
    rd_kafka_AclBindingFilter_t* all[]{filter.get()};
    ask(RD_KAFKA_ADMIN_OP_DELETEACLS, [&](auto* options, auto* queue) {
      rd_kafka_DeleteAcls(client_.get(), all, 1, options, queue);
    });
  }

  /// Stores one record, and returns its offset.
  std::int64_t produce(const std::string& topic, std::int32_t partition, Bytes key, Bytes payload,
                       const std::vector<RawHeader>& headers = {}) {
    std::vector<rd_kafka_vu_t> parts;
    const auto next = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
      parts.emplace_back().vtype = type;
      return parts.back();
    };
    next(RD_KAFKA_VTYPE_TOPIC).u.cstr = topic.c_str();
    next(RD_KAFKA_VTYPE_PARTITION).u.i32 = partition;
    next(RD_KAFKA_VTYPE_MSGFLAGS).u.i = RD_KAFKA_MSG_F_COPY;
    if (key) next(RD_KAFKA_VTYPE_KEY).u.mem = {const_cast<char*>(key->data()), key->size()};
    if (payload) {
      next(RD_KAFKA_VTYPE_VALUE).u.mem = {const_cast<char*>(payload->data()), payload->size()};
    }
    for (const RawHeader& each : headers) {
      auto& part = next(RD_KAFKA_VTYPE_HEADER).u.header;
      part.name = each.name.c_str();
      part.val = each.value ? each.value->data() : nullptr;
      part.size = each.value ? static_cast<std::int64_t>(each.value->size()) : 0;
    }
    const kafka::LibraryError error{rd_kafka_produceva(client_.get(), parts.data(), parts.size())};
    expect(!error, "raw client: cannot produce");
    const auto until = Clock::now() + 30s;
    while (Clock::now() < until) {
      const kafka::Event event{rd_kafka_queue_poll(main_.get(), 1000)};
      if (!event || rd_kafka_event_type(event.get()) != RD_KAFKA_EVENT_DR) continue;
      const rd_kafka_message_t* sent = rd_kafka_event_message_next(event.get());
      if (sent->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        violated("raw client: ", rd_kafka_err2str(sent->err));
      }
      return sent->offset;
    }
    violated("raw client: the broker did not take a message");
  }

  /// The offset after the last record of each partition.
  std::vector<std::int64_t> ends(const std::string& topic, int partitions) {
    std::vector<std::int64_t> found;
    for (int i = 0; i < partitions; ++i) {
      const auto marks = kafka::watermarks(client_.get(), topic.c_str(), i, 10'000);
      if (!marks) violated("raw client: ", marks.error().message());
      found.push_back(marks->high);
    }
    return found;
  }
  /// The id of the broker that leads a partition.
  std::int32_t leader_of(const std::string& name, int partition) {
    const kafka::Topic topic{rd_kafka_topic_new(client_.get(), name.c_str(), nullptr)};
    const struct rd_kafka_metadata* found = nullptr;
    expect(rd_kafka_metadata(client_.get(), 0, topic.get(), &found, 10'000) ==
               RD_KAFKA_RESP_ERR_NO_ERROR,
           "raw client: no metadata");
    const kafka::Owned<const struct rd_kafka_metadata, rd_kafka_metadata_destroy> owned{found};
    expect(found->topics[0].partition_cnt > partition, "raw client: no such partition");
    return found->topics[0].partitions[partition].leader;
  }

 private:
  template <class Ask>
  kafka::Event ask(rd_kafka_admin_op_t what, Ask how) {
    const kafka::Queue queue{rd_kafka_queue_new(client_.get())};
    const kafka::Owned<rd_kafka_AdminOptions_t, rd_kafka_AdminOptions_destroy> options{
        rd_kafka_AdminOptions_new(client_.get(), what)};
    how(options.get(), queue.get());
    kafka::Event answer{rd_kafka_queue_poll(queue.get(), 30'000)};
    expect(answer != nullptr, "raw client: the broker does not answer");
    if (rd_kafka_event_error(answer.get()) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      violated("raw client: ", rd_kafka_event_error_string(answer.get()));
    }
    return answer;
  }

  const kafka::Owned<rd_kafka_t, rd_kafka_destroy> client_{raw_client(
      RD_KAFKA_PRODUCER, {{"message.max.bytes", "100000000"}, {"linger.ms", "0"}})};
  const kafka::Queue main_{rd_kafka_queue_get_main(client_.get())};
};

/// What a group has committed.
class Committed {
 public:
  Committed(const std::string& group, std::string topic, int partitions)
      : topic_{std::move(topic)},
        partitions_{partitions},
        client_{raw_client(RD_KAFKA_CONSUMER, {{"group.id", group}})} {}

  /// For each partition; -1 where there is none. Nothing when the broker does not say.
  std::optional<std::vector<std::int64_t>> ask() const {
    const kafka::Offsets offsets = kafka::new_offsets();
    for (int i = 0; i < partitions_; ++i) {
      rd_kafka_topic_partition_list_add(offsets.get(), topic_.c_str(), i);
    }
    if (rd_kafka_committed(client_.get(), offsets.get(), 2000) != RD_KAFKA_RESP_ERR_NO_ERROR) {
      return {};
    }
    std::vector<std::int64_t> found;
    for (int i = 0; i < partitions_; ++i) {
      const rd_kafka_topic_partition_t& each = offsets->elems[i];
      if (each.err != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
      found.push_back(each.offset < 0 ? -1 : each.offset);
    }
    return found;
  }

 private:
  const std::string topic_;
  const int partitions_;
  const kafka::Owned<rd_kafka_t, rd_kafka_destroy> client_;
};

}  // namespace chaos
