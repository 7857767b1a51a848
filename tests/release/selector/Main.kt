// Prints what the Kotlin selector says of every test vector: variant (or -) and reason.
package snugfit

import java.io.File
import org.json.JSONObject

fun main(args: Array<String>) {
    val selector = Selector.parse(File(args[0]).readText())
    val cases = JSONObject(File(args[1]).readText()).getJSONArray("cases")
    for (i in 0 until cases.length()) {
        val facts = cases.getJSONObject(i).getJSONObject("facts")
        val runtimes = facts.getJSONArray("runtimes")
        val chosen = selector.select(
            Facts(
                if (facts.isNull("os")) null else facts.getString("os"),
                if (facts.isNull("os_version")) null else facts.getString("os_version"),
                if (facts.isNull("ram")) null else facts.getLong("ram"),
                if (facts.isNull("soc")) null else facts.getString("soc"),
                (0 until runtimes.length()).map { runtimes.getString(it) }
            )
        )
        println("${chosen.variant ?: "-"} ${chosen.reason}")
    }
}
