// The app that the test runs in on an iPhone or iPad: tests without one are not started there.
import SwiftUI
import UIKit

@main
struct HostApp: App {
    var body: some Scene {
        WindowGroup {
            Text("Measuring. Leave this app in front.").onAppear {
                UIApplication.shared.isIdleTimerDisabled = true
            }
        }
    }
}
