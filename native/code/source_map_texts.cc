#include "code/source_map_texts.h"

#include <utility>

namespace otelpyroscope {

SourceMapTexts& SourceMapTexts::Get() {
  // Leaked, because threads may run while exit() runs static destructors.
  static SourceMapTexts& texts = *new SourceMapTexts;
  return texts;
}

uint32_t SourceMapTexts::Add(std::string url, std::string data) {
  if (data.size() > kMaxTextBytes) return kTooLong;
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto known = numbers_.find({url, data});
  if (known != numbers_.end()) return known->second;
  bytes_ += url.size() + data.size();
  while (bytes_ > kMaxBytes && !texts_.empty()) {
    const Text& oldest = *texts_.front();
    bytes_ -= oldest.url.size() + oldest.data.size();
    numbers_.erase({oldest.url, oldest.data});
    texts_.pop_front();
  }
  auto text = std::make_shared<Text>();
  text->number = ++last_number_;
  text->url = std::move(url);
  text->data = std::move(data);
  texts_.push_back(text);
  numbers_[{text->url, text->data}] = text->number;
  return text->number;
}

std::shared_ptr<const SourceMapTexts::Text> SourceMapTexts::Find(
    uint32_t number) {
  const std::lock_guard<std::mutex> lock(mutex_);
  // Numbers are given in order, and only the oldest texts are forgotten.
  if (texts_.empty() || number < texts_.front()->number ||
      number > last_number_) {
    return nullptr;
  }
  return texts_[number - texts_.front()->number];
}

uint32_t ScriptMaps::MapOf(v8::Isolate* isolate, int script_id) {
  SourceMapTexts& texts = SourceMapTexts::Get();
  if (!texts.is_wanted()) return 0;
  const auto known = numbers_.find(script_id);
  if (known != numbers_.end() &&
      (known->second == 0 || known->second == SourceMapTexts::kTooLong ||
       texts.Find(known->second) != nullptr)) {
    return known->second;
  }
  if (!lines_->Has(script_id)) return 0;
  if (numbers_.size() >= kMaxScripts) numbers_.clear();
  uint32_t number = 0;
  ScriptLines::InlineMap map;
  if (lines_->ReadInlineMap(isolate, script_id, SourceMapTexts::kMaxTextBytes,
                            &map)) {
    number = map.is_too_long
                 ? SourceMapTexts::kTooLong
                 : texts.Add(std::move(map.url), std::move(map.data));
  }
  numbers_[script_id] = number;
  return number;
}

}  // namespace otelpyroscope
