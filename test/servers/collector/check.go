// Checks what the text of OTLP profiles requires of a request: its tables, its indices, the shape of its samples.
// https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/profiles/v1development/profiles.proto
package main

import (
	"fmt"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pprofile"
)

// table is one table of the dictionary: how many entries it has, and which of them are referred to.
type table struct {
	name string
	used []bool
}

type checker struct {
	dictionary pprofile.ProfilesDictionary
	faults     []string
	orphans    []string

	mappings, locations, functions, links, strings, attributes, stacks *table
}

// checkProfiles returns what is wrong, and the entries of tables to which nothing refers.
func checkProfiles(profiles pprofile.Profiles) (faults, orphans []string) {
	d := profiles.Dictionary()
	newTable := func(name string, length int) *table {
		return &table{name, make([]bool, length)}
	}
	c := &checker{
		dictionary: d,
		faults:     []string{},
		orphans:    []string{},
		mappings:   newTable("mapping_table", d.MappingTable().Len()),
		locations:  newTable("location_table", d.LocationTable().Len()),
		functions:  newTable("function_table", d.FunctionTable().Len()),
		links:      newTable("link_table", d.LinkTable().Len()),
		strings:    newTable("string_table", d.StringTable().Len()),
		attributes: newTable("attribute_table", d.AttributeTable().Len()),
		stacks:     newTable("stack_table", d.StackTable().Len()),
	}
	c.checkEntries()
	for _, resource := range profiles.ResourceProfiles().All() {
		for _, scope := range resource.ScopeProfiles().All() {
			for _, profile := range scope.Profiles().All() {
				c.checkProfile(profile)
			}
		}
	}
	tables := []*table{c.mappings, c.locations, c.functions, c.links, c.strings, c.attributes, c.stacks}
	for _, t := range tables {
		if len(t.used) == 0 {
			c.fault("%s has no first entry", t.name)
		}
		for i, used := range t.used {
			if i > 0 && !used {
				c.orphans = append(c.orphans, at(t, i))
			}
		}
	}
	return c.faults, c.orphans
}

func (c *checker) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// refer notes a reference, and tells whether there is such an entry.
func (c *checker) refer(from string, to *table, index int32) bool {
	if index < 0 || int(index) >= len(to.used) {
		c.fault("%s refers to %s[%d] of %d", from, to.name, index, len(to.used))
		return false
	}
	to.used[index] = true
	return true
}

// checkEntries checks each table by itself, and what its entries refer to.
func (c *checker) checkEntries() {
	d := c.dictionary
	distinct(c, c.strings, func(i int) string { return d.StringTable().At(i) }, "")
	distinct(c, c.mappings, func(i int) string {
		m := d.MappingTable().At(i)
		c.refer(at(c.mappings, i), c.strings, m.FilenameStrindex())
		return fmt.Sprint(m.MemoryStart(), m.MemoryLimit(), m.FileOffset(), m.FilenameStrindex(),
			c.attributesOf(at(c.mappings, i), m.AttributeIndices()))
	}, fmt.Sprint(uint64(0), uint64(0), uint64(0), int32(0), []int32(nil)))
	distinct(c, c.locations, func(i int) string {
		l := d.LocationTable().At(i)
		c.refer(at(c.locations, i), c.mappings, l.MappingIndex())
		lines := "lines "
		for _, line := range l.Lines().All() {
			if c.refer(at(c.locations, i), c.functions, line.FunctionIndex()) && line.FunctionIndex() == 0 {
				c.fault("location_table[%d] has a line without a function", i)
			}
			lines += fmt.Sprint(line.FunctionIndex(), line.Line(), line.Column(), ";")
		}
		return fmt.Sprint(l.MappingIndex(), l.Address(), lines,
			c.attributesOf(at(c.locations, i), l.AttributeIndices()))
	}, fmt.Sprint(int32(0), uint64(0), "lines ", []int32(nil)))
	distinct(c, c.functions, func(i int) string {
		f := d.FunctionTable().At(i)
		for _, index := range []int32{f.NameStrindex(), f.SystemNameStrindex(), f.FilenameStrindex()} {
			c.refer(at(c.functions, i), c.strings, index)
		}
		return fmt.Sprint(f.NameStrindex(), f.SystemNameStrindex(), f.FilenameStrindex(), f.StartLine())
	}, "0 0 0 0")
	distinct(c, c.links, func(i int) string {
		l := d.LinkTable().At(i)
		if i > 0 && (l.TraceID().IsEmpty() || l.SpanID().IsEmpty()) {
			c.fault("link_table[%d] has no id", i)
		}
		return fmt.Sprint(l.TraceID(), l.SpanID())
	}, fmt.Sprint(pcommon.NewTraceIDEmpty(), pcommon.NewSpanIDEmpty()))
	distinct(c, c.attributes, func(i int) string {
		a := d.AttributeTable().At(i)
		c.refer(at(c.attributes, i), c.strings, a.KeyStrindex())
		c.refer(at(c.attributes, i), c.strings, a.UnitStrindex())
		if i > 0 && a.KeyStrindex() == 0 {
			c.fault("attribute_table[%d] has no key", i)
		}
		return fmt.Sprint(a.KeyStrindex(), a.UnitStrindex(), a.Value().Type(), a.Value().AsString())
	}, fmt.Sprint(int32(0), int32(0), pcommon.ValueTypeEmpty, ""))
	distinct(c, c.stacks, func(i int) string {
		indices := d.StackTable().At(i).LocationIndices().AsRaw()
		for _, index := range indices {
			if c.refer(at(c.stacks, i), c.locations, index) && index == 0 {
				c.fault("stack_table[%d] has no location", i)
			}
		}
		return fmt.Sprint(indices)
	}, "[]")
}

func at(t *table, index int) string {
	return fmt.Sprintf("%s[%d]", t.name, index)
}

// distinct checks that the first entry is the empty one, and that no two are equal.
func distinct(c *checker, t *table, key func(int) string, empty string) {
	seen := map[string]int{}
	for i := range t.used {
		text := key(i)
		if i == 0 && text != empty {
			c.fault("%s[0] is not empty: %s", t.name, text)
		}
		if first, found := seen[text]; found {
			c.fault("%s[%d] is %s[%d] again", t.name, i, t.name, first)
		}
		seen[text] = i
	}
}

// attributesOf checks the attributes of one thing, and returns their indices.
func (c *checker) attributesOf(from string, indices pcommon.Int32Slice) []int32 {
	keys := map[int32]bool{}
	for _, index := range indices.AsRaw() {
		if !c.refer(from, c.attributes, index) {
			continue
		}
		key := c.dictionary.AttributeTable().At(int(index)).KeyStrindex()
		if index == 0 || keys[key] {
			c.fault("%s has attribute %d without or with a known key", from, index)
		}
		keys[key] = true
	}
	return indices.AsRaw()
}

func (c *checker) checkProfile(profile pprofile.Profile) {
	for _, valueType := range []pprofile.ValueType{profile.SampleType(), profile.PeriodType()} {
		c.refer("the profile", c.strings, valueType.TypeStrindex())
		c.refer("the profile", c.strings, valueType.UnitStrindex())
	}
	c.attributesOf("the profile", profile.AttributeIndices())
	if profile.Time() == 0 || profile.DurationNano() == 0 || profile.Period() <= 0 {
		c.fault("the profile has no time, duration or period")
	}
	seen := map[string]int{}
	for i, sample := range profile.Samples().All() {
		name := fmt.Sprintf("sample %d", i)
		c.refer(name, c.stacks, sample.StackIndex())
		c.refer(name, c.links, sample.LinkIndex())
		attributes := c.attributesOf(name, sample.AttributeIndices())
		// Values, timestamps, or both and then as many of each.
		values, timestamps := sample.Values().Len(), sample.TimestampsUnixNano().Len()
		if values+timestamps == 0 || (values > 0 && timestamps > 0 && values != timestamps) {
			c.fault("%s has %d values and %d timestamps", name, values, timestamps)
		}
		// One sample for each stack, link and set of attributes.
		key := fmt.Sprint(sample.StackIndex(), sample.LinkIndex(), attributes)
		if first, found := seen[key]; found {
			c.fault("%s is of the same stack, link and attributes as sample %d", name, first)
		}
		seen[key] = i
	}
}
