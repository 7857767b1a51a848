// Reference selector for Android: facts that a phone reports -> variant of selector.json.
// Says the same as sdk/release/selector/select.py, line by line; docs/selector.md is the specification.
// Needs nothing but org.json, which is part of Android.

package snugfit

import org.json.JSONArray
import org.json.JSONObject

/** What an app knows of its device; null: not known. `ram`: all of it, in bytes, as the OS reports it. */
data class Facts(
    val os: String? = null,
    val osVersion: String? = null,
    val ram: Long? = null,
    val soc: String? = null,
    val runtimes: List<String> = emptyList()
)

/** The variant's id, or null when none fits, and why. */
data class Selection(val variant: String?, val reason: String)

data class Need(val version: String?, val ram: Long?)

data class Variant(
    val id: String,
    val artifact: String,
    val runtime: String,
    val os: Map<String, Need>,
    val soc: List<String>?
)

data class Rule(
    val variant: String,
    val device: String,
    val os: String,
    val soc: List<String>?,
    val hasRam: Boolean,
    val least: Long,
    val most: Long?
)

class Selector(val variants: List<Variant>, val rules: List<Rule>) {

    /** The variant that the first matching rule picks, whose requirements are met. */
    fun select(facts: Facts): Selection {
        for (rule in rules) {
            if (matches(rule, facts) && unmet(variants.first { it.id == rule.variant }, facts) == null) {
                val known = if (rule.device != "") "known device: ${rule.device}" else "best variant that fits"
                return Selection(rule.variant, known)
            }
        }
        val reasons = variants.map { "${it.id}: ${unmet(it, facts) ?: "budget"}" }
        return Selection(null, "no variant fits: ${reasons.joinToString("; ")}")
    }

    /** Whether a rule is for a device with these facts; what is not known never matches. */
    private fun matches(rule: Rule, facts: Facts): Boolean {
        if (rule.os != facts.os) return false
        if (rule.soc != null && spelled(facts.soc) !in rule.soc) return false
        if (!rule.hasRam) return true
        return facts.ram != null && facts.ram >= rule.least && (rule.most == null || facts.ram <= rule.most)
    }

    /** The first requirement that the facts do not meet, in one word or two, or null. */
    private fun unmet(variant: Variant, facts: Facts): String? {
        if (variant.runtime !in facts.runtimes) return "runtime"
        val need = variant.os[facts.os] ?: return "os"
        if (need.version != null && !atLeast(facts.osVersion, need.version)) return "os version"
        if (variant.soc != null && spelled(facts.soc) !in variant.soc) return "soc"
        if (need.ram != null && (facts.ram == null || facts.ram < need.ram)) return "ram"
        return null
    }

    companion object {
        private const val PARTS = 4

        /** Whether a version is `least` or newer; one that cannot be read is not. */
        fun atLeast(version: String?, least: String): Boolean {
            val found = numbers(version) ?: return false
            val wanted = numbers(least) ?: return false
            for (i in 0 until PARTS) if (found[i] != wanted[i]) return found[i] > wanted[i]
            return true
        }

        /** The four numbers of a version, missing ones 0; null for what is not one to four dotted numbers. */
        fun numbers(version: String?): List<Long>? {
            if (version == null) return null
            val parts = version.split(".")
            if (parts.size > PARTS || !parts.all { it.length in 1..9 && it.all { each -> each in '0'..'9' } }) return null
            return parts.map { it.toLong() } + List(PARTS - parts.size) { 0L }
        }

        /** A SoC's name in lower-case ASCII letters and digits alone. */
        fun spelled(soc: String?): String {
            val kept = StringBuilder()
            for (each in soc ?: "") {
                if (each in 'a'..'z' || each in '0'..'9') kept.append(each)
                if (each in 'A'..'Z') kept.append(each + 32)
            }
            return kept.toString()
        }

        /** Reads selector.json. */
        fun parse(json: String): Selector {
            val document = JSONObject(json)
            return Selector(objects(document.getJSONArray("variants")).map(::variant), objects(document.getJSONArray("rules")).map(::rule))
        }

        private fun variant(data: JSONObject): Variant {
            val requires = data.getJSONObject("requires")
            val systems = requires.getJSONObject("os")
            val needs = LinkedHashMap<String, Need>()
            for (name in systems.keys()) {
                val need = systems.getJSONObject(name)
                needs[name] = Need(
                    if (need.isNull("version")) null else need.getString("version"),
                    if (need.isNull("ram")) null else need.getLong("ram")
                )
            }
            return Variant(data.getString("id"), data.getString("artifact"), requires.getString("runtime"), needs, strings(requires, "soc"))
        }

        private fun rule(data: JSONObject): Rule {
            val ram = if (data.isNull("ram")) null else data.getJSONArray("ram")
            return Rule(
                data.getString("variant"), data.getString("device"), data.getString("os"), strings(data, "soc"),
                ram != null, ram?.getLong(0) ?: 0L, if (ram == null || ram.isNull(1)) null else ram.getLong(1)
            )
        }

        private fun objects(array: JSONArray): List<JSONObject> = (0 until array.length()).map { array.getJSONObject(it) }

        private fun strings(data: JSONObject, key: String): List<String>? {
            if (data.isNull(key)) return null
            val array = data.getJSONArray(key)
            return (0 until array.length()).map { array.getString(it) }
        }
    }
}
